// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** CRIU's source cannot be fetched or built, or preparing the machine for containers failed. */
export class SetupError extends CodedError<'ERR_SETUP_FETCH' | 'ERR_SETUP_BUILD' | 'ERR_HOST'> {}
