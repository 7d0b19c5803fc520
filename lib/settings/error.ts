// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** The settings file cannot be written. */
export class SettingsFileError extends CodedError<'ERR_CONFIG_WRITE'> {}
