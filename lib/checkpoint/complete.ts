// SPDX-License-Identifier: MIT
/**
 * Completes the images that CRIU has written: changes what a restore could not bring back, keeps files, and says what a
 * restore will do differently.
 * @module
 */
import { adjustImages } from '../criu/index.ts';
import { describeError } from '../errors.ts';
import { keepFiles, type ManifestFile } from '../kept/index.ts';
import { listed, outsideWarnings } from './outside.ts';

export interface CompleteOptions {
  keepConnections: boolean;
  leaveRunning: boolean;
  /** The tree sees other file systems than this process: its paths mean nothing here. */
  hasOwnMounts: boolean;
  keepBytes: number | undefined;
  pids: readonly number[];
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

/** @returns warnings; the images are complete without this, too, so that nothing is thrown */
export function completeImages(imagesDir: string, options: CompleteOptions): string[] {
  const { keepConnections, leaveRunning, hasOwnMounts, keepBytes, pids } = options;
  try {
    const outside = outsideWarnings(adjustImages(imagesDir, keepConnections));
    if (hasOwnMounts) return outside;
    const files = keepFiles(imagesDir, { limitBytes: keepBytes, pids, isRunning: leaveRunning });
    return [...outside, ...fileWarnings(files)];
  } catch (error) {
    return [`the images are CRIU's own, without files that this program keeps: ${describeError(error)}`];
  }
}
