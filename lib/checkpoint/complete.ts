// SPDX-License-Identifier: MIT
/**
 * Completes the images that CRIU has written: changes what a restore could not bring back, keeps files, and says what a
 * restore will do differently.
 * @module
 */
import { adjustImages, dropParentSignal, readOpenFiles } from '../criu/index.ts';
import { describeError } from '../errors.ts';
import {
  isLinkRemap,
  keepFiles,
  writeOrigin,
  type Generation,
  type ManifestFile,
  type Samples,
} from '../kept/index.ts';
import { readBootId } from '../machine/index.ts';
import { listed, outsideWarnings } from './outside.ts';

export interface CompleteOptions {
  keepConnections: boolean;
  /** The tree runs on after the dump: criu itself removes the names that it has given to deleted files. */
  leaveRunning: boolean;
  /** The tree runs already, so that files may have changed since the dump. */
  isRunning: boolean;
  /** The tree sees other file systems than this process: its paths mean nothing here. */
  hasOwnMounts: boolean;
  keepBytes: number | undefined;
  pids: readonly number[];
  /** The root's file for its generation. */
  generation: Generation | undefined;
  /** Checksums of its files that were taken while criu dumped. */
  samples: Samples;
  /** Ends it between two pieces. */
  signal?: AbortSignal | undefined;
}

function fileWarnings(files: readonly ManifestFile[]): string[] {
  const isLost = ({ isMemory, access, kept }: ManifestFile): boolean =>
    isMemory && access === 'write' && kept === undefined;
  const lost = files.filter(isLost);
  if (lost.length === 0) return [];
  const names = lost.map(({ paths: [path = ''], sharedWith }) =>
    sharedWith === undefined ? path : `${path} (shared with process ${sharedWith})`,
  );
  return [
    `files in memory whose contents are not in the images: ${listed(names)}; a restore refuses them if they have changed`,
  ];
}

/** Deleted files with other names: CRIU takes its own name of them away from a tree that keeps running. */
function remapWarnings(imagesDir: string): string[] {
  const names = readOpenFiles(imagesDir)
    .map(({ path }) => path)
    .filter((path) => isLinkRemap(path));
  if (names.length === 0) return [];
  return [
    `the tree has deleted files that have other names (${listed(names)}), which a dump with --leave-running does not keep: these images cannot be restored`,
  ];
}

const parentWarning = (signal: string): string =>
  `the program gets ${signal} when its parent ends; a restore does not ask for that again, since its parent is criu then, which ends`;

const isIncomplete = (error: unknown): string =>
  `the images are complete as CRIU's, but not ours: ${describeError(error)}; a restore may need the same files and connections`;

/**
 * @returns warnings: the images can be restored without this, too
 * @throws only the reason of `signal`
 */
export async function completeImages(imagesDir: string, options: CompleteOptions): Promise<string[]> {
  const { keepConnections, leaveRunning, isRunning, hasOwnMounts, keepBytes, pids, generation, samples } =
    options;
  const { signal } = options;
  const warnings: string[] = [];
  try {
    const parentSignal = dropParentSignal(imagesDir);
    if (parentSignal !== undefined) warnings.push(parentWarning(parentSignal));
    const adjusted = adjustImages(imagesDir, keepConnections);
    warnings.push(...outsideWarnings(adjusted), ...(isRunning ? remapWarnings(imagesDir) : []));
    writeOrigin(imagesDir, { bootId: readBootId(), generation });
    if (hasOwnMounts) return warnings;
    const { growing } = adjusted;
    const removesLinks = !leaveRunning;
    const files = await keepFiles(imagesDir, {
      ...{ limitBytes: keepBytes, pids, isRunning, removesLinks, growing, samples, signal },
    });
    return [...warnings, ...fileWarnings(files)];
  } catch (error) {
    signal?.throwIfAborted();
    return [...warnings, isIncomplete(error)];
  }
}
