// SPDX-License-Identifier: MIT
import { CodedError } from '../errors.ts';

/** A plugin was not installed or removed; nothing was changed. */
export class InstallError extends CodedError<
  'ERR_INSTALL_REFUSED' | 'ERR_INSTALL_BUSY' | 'ERR_INSTALL_MANIFEST'
> {}
