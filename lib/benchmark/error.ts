// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** Memory or answers of a restored process differ from those before the dump, or there was nothing to measure. */
export class BenchmarkError extends CodedError<'ERR_BENCHMARK'> {}
