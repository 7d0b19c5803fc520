// SPDX-License-Identifier: MIT
/**
 * Directories below the user's cache whose content is believed: compiled code, and what was learned about programs. Only
 * this user may have written them. Without such a directory everything works, only slower.
 * @module
 */
import { lstatSync, type Stats } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { makeDirectory } from './directory.ts';
import { cacheDir, type Environment } from './paths.ts';

const OTHERS_WRITE = 0o022;

/** Whether a file or directory is this user's, and no other user may write to it. */
export function isOwn(stat: Stats, uid: number = process.geteuid?.() ?? 0): boolean {
  return stat.uid === uid && (stat.mode & OTHERS_WRITE) === 0;
}

function isOwnDirectory(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isDirectory() && isOwn(stat);
}

/**
 * Finds or creates a directory for `name` in the user's cache, mode 0700.
 * @returns `undefined` when it cannot be created, is a symbolic link, or another user has it or may write to it
 */
export function ownCacheDir(name: string, env: Environment = process.env): string | undefined {
  const cache = cacheDir(env);
  const path = join(cache, name);
  if (!isAbsolute(path)) return undefined;
  try {
    makeDirectory(path, 0o700);
    return isOwnDirectory(cache) && isOwnDirectory(path) ? path : undefined;
  } catch {
    return undefined; // no home, or one that is read-only
  }
}
