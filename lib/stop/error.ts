// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A process was killed and has not ended. */
export class StopError extends CodedError<'ERR_STOP'> {}
