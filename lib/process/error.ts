// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A file of /proc has an unexpected form. */
export class ProcError extends CodedError<'ERR_PROCESS_MEMORY' | 'ERR_PROCESS_STAT'> {}
