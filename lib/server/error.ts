// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** An inference server does not answer, answers with an error, or keeps its connections open. */
export class ServerError extends CodedError<'ERR_SERVER'> {}
