// SPDX-License-Identifier: MIT
import { CodedError, type ToolkitErrorOptions } from '../errors.ts';

/**
 * Files that a checkpoint needs are missing or have changed, or its list of them cannot be read. Nothing was restored;
 * no file was changed, unless the message says that one could not be written.
 */
export class KeptFilesError extends CodedError<'ERR_RESTORE_FILES'> {
  /** The files, each with what is wrong with it. */
  readonly files: readonly string[];

  /** @internal */
  constructor(message: string, options: ToolkitErrorOptions & { files?: readonly string[] } = {}) {
    super('ERR_RESTORE_FILES', message, options);
    this.files = options.files ?? [];
  }
}
