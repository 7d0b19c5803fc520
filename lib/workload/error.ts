// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** The workload of the demo or of a benchmark failed. */
export class WorkloadError extends CodedError<'ERR_WORKLOAD'> {}
