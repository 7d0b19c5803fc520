// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A restored process has other memory or other answers than the dumped one, or there was nothing to measure. */
export class BenchmarkError extends CodedError<'ERR_BENCHMARK'> {}
