// SPDX-License-Identifier: MIT
/**
 * Brings back the kept files of a checkpoint, after everything was compared.
 * @module
 */
import { join } from 'node:path';
import { createPause, type Pause } from '../abortable.ts';
import { describeError } from '../errors.ts';
import { compareFiles, type CompareOptions, type Step } from './compare.ts';
import { createEntry, linkEntry, writeContents } from './contents.ts';
import { KeptFilesError } from './error.ts';

async function apply(
  imagesDir: string,
  { file, existing, missing, rewrite }: Step,
  signal: AbortSignal | undefined,
  pause: Pause,
): Promise<string[]> {
  if (missing.length === 0 && !rewrite) return [];
  const [name = ''] = file.paths;
  try {
    if (existing === undefined) await createEntry(imagesDir, name, file, pause);
    else if (rewrite) await writeContents(existing, join(imagesDir, file.kept ?? ''), pause);
    const first = existing ?? name;
    const links = missing.filter((path) => path !== first);
    for (const path of links) await linkEntry(first, path);
    return existing === undefined || rewrite ? [first, ...links] : links;
  } catch (cause) {
    signal?.throwIfAborted(); // the next restore compares again
    throw new KeptFilesError(`cannot bring back ${name}: ${describeError(cause)}`, {
      hint: 'files before it may have been brought back; to try again: criu-cuda restore',
      cause,
      files: [name],
    });
  }
}

/** Directories first, and those above others before them. */
const depth = ({ file }: Step): number =>
  file.kind === 'directory' ? (file.paths[0]?.length ?? 0) : Infinity;

/**
 * Does what a comparison has found.
 * @returns the paths of what was created or written
 * @throws {@link KeptFilesError} naming the file that could not be written; the reason of `signal`
 */
export async function applySteps(
  imagesDir: string,
  steps: readonly Step[],
  signal?: AbortSignal,
): Promise<string[]> {
  const pause = createPause(signal);
  const done: string[] = [];
  for (const step of [...steps].sort((one, other) => depth(one) - depth(other)))
    done.push(...(await apply(imagesDir, step, signal, pause)));
  return done;
}

/** Compares the files of a checkpoint, and brings back those that were kept; see {@link compareFiles}. */
export const bringBackFiles = async (imagesDir: string, options: CompareOptions = {}): Promise<string[]> =>
  applySteps(imagesDir, await compareFiles(imagesDir, options), options.signal);
