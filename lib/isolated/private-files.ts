// SPDX-License-Identifier: MIT
/**
 * What an isolated copy of a tree gets for its own: the files and names that two copies of one checkpoint would otherwise
 * fight over, in the directories that programs use for such things.
 * @module
 */
import { existsSync, realpathSync } from 'node:fs';
import { readSocketPaths } from '../criu/index.ts';
import { readManifest, readOrigin, type ManifestFile } from '../kept/index.ts';

/** They are in memory, or emptied at a start, so that nobody expects to find there later what a server has left. */
const directories = ['/dev/shm', '/tmp', '/run'];

/** What is private. */
export interface PrivateFiles {
  /** The directories, without links, those that exist. */
  dirs: string[];
  /** Files in them that the copy does not see, because it makes its own. */
  files: string[];
  /** Unix sockets elsewhere: the last copy has the name. */
  sharedSockets: string[];
}

/** A log is continued in the file that people read; what cannot be restored from the images stays what it is. */
function isOwn({ kind, kept, access, onlyGrows, sharedWith }: ManifestFile): boolean {
  if (kind === 'fifo') return true;
  return (
    kind === 'file' &&
    kept !== undefined &&
    access === 'write' &&
    onlyGrows !== true &&
    sharedWith === undefined
  );
}

/** Finds what is private in the images. */
export function findPrivateFiles(imagesDir: string): PrivateFiles {
  const dirs = [...new Set(directories.filter((dir) => existsSync(dir)).map((dir) => realpathSync(dir)))];
  const isBelow = (path: string): boolean => dirs.some((dir) => path.startsWith(`${dir}/`));
  const generation = readOrigin(imagesDir)?.generation?.path;
  const kept = (readManifest(imagesDir)?.files ?? []).filter(isOwn).flatMap(({ paths }) => paths);
  const sockets = readSocketPaths(imagesDir);
  return {
    dirs,
    files: [...new Set([...kept, ...sockets, ...(generation === undefined ? [] : [generation])])].filter(
      isBelow,
    ),
    sharedSockets: sockets.filter((path) => !isBelow(path)),
  };
}
