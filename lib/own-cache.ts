// SPDX-License-Identifier: MIT
/**
 * Directories below the user's cache whose content is believed: compiled code, and what was learned about programs. Only
 * this user may have written them. Without such a directory everything works, only slower.
 * @module
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { makeDirectory, removeFile } from './directory.ts';
import { cacheDir, type Environment } from './paths.ts';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/** Whether a file or directory is this user's, and no other user may write to it. */
function isOwn(stat: Stats, uid: number = process.geteuid?.() ?? 0): boolean {
  return stat.uid === uid && (stat.mode & OTHERS_WRITE) === 0;
}

/**
 * Which file or directory lets another user than root and this one change what is at a path without symbolic links, or put
 * something else there: the path itself or one above it. `undefined` when none does.
 */
export function untrustedPart(path: string): string | undefined {
  const { uid, mode } = lstatSync(path);
  const isOwn = uid === 0 || uid === process.geteuid?.();
  const isOpen = (mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0;
  if (!isOwn || isOpen) return path;
  return path === '/' ? undefined : untrustedPart(dirname(path));
}

/** Whether only root and this user can change what is at a path without symbolic links, or put something else there. */
export const isTrustedPath = (path: string): boolean => untrustedPart(path) === undefined;

/** The nearest directory that exists: the path, or one above it. */
const existingPart = (path: string): string => (existsSync(path) ? path : existingPart(dirname(path)));

function isOwnDirectory(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isDirectory() && isOwn(stat);
}

/**
 * Finds or creates a directory for `name` in the user's cache, mode 0700.
 * @returns `undefined` when it cannot be created, is a symbolic link, or another user has it or may write to it, or can put
 * another directory in its place or above it
 */
export function ownCacheDir(name: string, env: Environment = process.env): string | undefined {
  const cache = cacheDir(env);
  const path = join(cache, name);
  if (!isAbsolute(path)) return undefined;
  // users of services have a home that nobody is to create
  if (env.XDG_CACHE_HOME === undefined && !existsSync(dirname(dirname(cache)))) return undefined;
  try {
    // root leaves nothing in the cache of another user, who could not write there afterwards
    if (!existsSync(path) && !isTrustedPath(realpathSync(existingPart(path)))) return undefined;
    makeDirectory(path, 0o700);
    const isOwnPath = isOwnDirectory(cache) && isOwnDirectory(path);
    return isOwnPath && isTrustedPath(realpathSync(cache)) ? path : undefined;
  } catch {
    return undefined; // no home, or one that is read-only
  }
}

/**
 * Reads a file of such a directory.
 * @param maxBytes a larger one is not read
 * @returns `undefined` when there is none, or another user can have written it
 */
export function readOwnFile(path: string, maxBytes = Infinity): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stat = fstatSync(fd);
    return stat.isFile() && isOwn(stat) && stat.size <= maxBytes ? readFileSync(fd) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Writes a file of such a directory, whole or not at all: a full disk only makes the next start slower. */
export function keepOwnFile(path: string, data: string | Buffer): void {
  const part = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    writeFileSync(part, data, { mode: 0o600, flag: 'wx' });
    renameSync(part, path);
  } catch {
    removeFile(part);
  }
}
