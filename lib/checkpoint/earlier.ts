// SPDX-License-Identifier: MIT
/**
 * A dump against an earlier checkpoint of the process, which shares the files of its device memory.
 * @module
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { checkPath } from '../check.ts';
import type { TaskMemory } from '../criu/index.ts';
import { directoryProblem } from '../directory.ts';
import { UsageError } from '../errors.ts';
import type { CheckpointOptions } from './checkpoint.ts';

/** Also under another name; one that cannot be looked at is not. */
function isSameDirectory(a: string, b: string): boolean {
  try {
    const [one, other] = [statSync(a), statSync(b)];
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return a === b;
  }
}

/**
 * The options with the absolute path of the earlier checkpoint.
 * @throws {@link UsageError} it is in the images directory
 */
export function resolveEarlier(options: CheckpointOptions): CheckpointOptions {
  if (options.prevImagesDir === undefined) return options;
  checkPath('prevImagesDir', options.prevImagesDir);
  const prevImagesDir = resolve(options.prevImagesDir);
  if (isSameDirectory(prevImagesDir, resolve(options.imagesDir)))
    throw new UsageError(
      `the earlier checkpoint ${prevImagesDir} is in the images directory`,
      'name another images directory; the earlier one can be removed afterwards',
    );
  return { ...options, prevImagesDir };
}

/** The setting of the plugin. */
export const earlierEnv = ({ prevImagesDir }: CheckpointOptions): Record<string, string> =>
  prevImagesDir === undefined ? {} : { CRIU_CUDA_PREV_IMAGES_DIR: prevImagesDir };

/** Why nothing of the earlier checkpoint was used, unless the pool has said it. */
export function earlierWarnings(
  { prevImagesDir }: CheckpointOptions,
  memory: readonly TaskMemory[],
): string[] {
  if (prevImagesDir === undefined || memory.some(({ pool }) => pool?.reusedBytes !== undefined)) return [];
  const problem = directoryProblem(prevImagesDir) ?? 'no device memory went through the pool';
  return [`nothing of the earlier checkpoint ${prevImagesDir} is used: ${problem}`];
}
