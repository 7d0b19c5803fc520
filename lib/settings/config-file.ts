// SPDX-License-Identifier: MIT
/**
 * Writes a settings file that explains every setting.
 * @module
 */
import { link, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectory } from '../directory.ts';
import { isErrno, reasonOf } from '../errno.ts';
import { UsageError } from '../errors.ts';
import { acceptedText, definitionOf, settingKeys } from './table.ts';
import { SettingsFileError } from './error.ts';
import { checkPath } from '../check.ts';

/** The file that `config init` writes: every setting with an explanation and its default, commented out. */
export function settingsTemplate(): string {
  const settings = settingKeys.map((key) => {
    const definition = definitionOf(key);
    return `# ${definition.meaning}\n# accepted: ${acceptedText(definition)}\n#${key} = ${definition.default}`.trimEnd();
  });
  const head = [
    '# Settings of the CRIU CUDA plugin and of criu-cuda, one `key = value` per line.',
    '# The environment overrides this file. Container engines do not pass their',
    '# environment on to CRIU when they checkpoint, so settings for them go here.',
  ].join('\n');
  return `${[head, ...settings].join('\n\n')}\n`;
}

/**
 * Writes the template atomically: a reader sees the old file or the new one.
 * @throws {@link UsageError} when the file exists and `force` is not set
 */
export async function writeSettingsFile(
  path: string,
  options: { force?: boolean | undefined } = {},
): Promise<void> {
  checkPath('path', path);
  const temporary = `${path}.${process.pid}.tmp`;
  makeDirectory(dirname(path));
  try {
    await writeFile(temporary, settingsTemplate(), { mode: 0o644, flag: 'wx' });
    // link() refuses an existing file, rename() replaces it
    await (options.force ? rename(temporary, path) : link(temporary, path));
  } catch (error) {
    if (isErrno(error, 'EEXIST')) {
      throw new UsageError(`${path} already exists`, 'use --force to replace it');
    }
    throw new SettingsFileError('ERR_CONFIG_WRITE', `cannot write ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  } finally {
    await rm(temporary, { force: true });
  }
}
