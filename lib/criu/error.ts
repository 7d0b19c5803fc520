// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** The status file that the plugin wrote is damaged. */
export class CriuStatusError extends CodedError<'ERR_CRIU_STATUS'> {}
