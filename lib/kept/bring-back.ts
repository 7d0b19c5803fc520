// SPDX-License-Identifier: MIT
/**
 * Brings back the kept files of a checkpoint, after everything was compared.
 * @module
 */
import { join } from 'node:path';
import { describeError } from '../errors.ts';
import { compareFiles, type CompareOptions, type Step } from './compare.ts';
import { createEntry, linkEntry, writeContents } from './contents.ts';
import { KeptFilesError } from './error.ts';

function apply(imagesDir: string, { file, existing, missing, rewrite }: Step): string[] {
  if (missing.length === 0 && !rewrite) return [];
  const [name = ''] = file.paths;
  try {
    if (existing === undefined) createEntry(imagesDir, name, file);
    else if (rewrite) writeContents(existing, join(imagesDir, file.kept ?? ''));
    const first = existing ?? name;
    const links = missing.filter((path) => path !== first);
    for (const path of links) linkEntry(first, path);
    return existing === undefined || rewrite ? [first, ...links] : links;
  } catch (cause) {
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
 * @throws {@link KeptFilesError} naming the file that could not be written
 */
export function applySteps(imagesDir: string, steps: readonly Step[]): string[] {
  return [...steps].sort((one, other) => depth(one) - depth(other)).flatMap((step) => apply(imagesDir, step));
}

/** Compares the files of a checkpoint, and brings back those that were kept; see {@link compareFiles}. */
export const bringBackFiles = (imagesDir: string, options: CompareOptions = {}): string[] =>
  applySteps(imagesDir, compareFiles(imagesDir, options));
