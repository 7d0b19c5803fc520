// SPDX-License-Identifier: MIT
/**
 * The record of a golden checkpoint in the tar file of its container, so that it is golden on another machine, too.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { execResult } from '../exec.ts';
import { GoldenError } from './error.ts';

/** Name of the record, in the directory of a container and in its tar file. */
export const recordName = 'criu-cuda-golden.json';

const TIMEOUT_MS = 600_000;

async function tar(words: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
  const { stdout, exitCode } = await execResult('tar', words, {
    timeoutMs: TIMEOUT_MS,
    env: { LC_ALL: 'C' },
    signal,
  });
  return exitCode === 0 ? stdout : undefined;
}

/** Appends the record to a tar file that is not compressed. */
export async function appendRecord(file: string, record: string, signal?: AbortSignal): Promise<void> {
  const dir = makeTemporaryDirectory('criu-cuda-golden-');
  try {
    writeFileSync(join(dir, recordName), record, { mode: 0o600 });
    const done = await tar(['--append', '-f', resolve(file), '-C', dir, recordName], signal);
    if (done === undefined)
      throw new GoldenError('ERR_GOLDEN', `cannot write the answers of the server to ${file}`, {
        hint: 'without them it can be restored with: criu-cuda container restore --import',
      });
  } finally {
    removeTemporaryDirectory(dir);
  }
}

/** Reads the record of a tar file. @returns `undefined` if it has none */
export const readArchivedRecord = (file: string, signal?: AbortSignal): Promise<string | undefined> =>
  tar(['-xOf', resolve(file), recordName], signal);
