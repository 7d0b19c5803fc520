// SPDX-License-Identifier: MIT
/**
 * Copies, compares and writes files, often as root and in directories of other users: no symbolic link is followed, not
 * even one that takes the place of a directory meanwhile, and a file is created only where nothing is.
 * @module
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  realpathSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Pause } from '../abortable.ts';
import { removeFile } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { dataRanges } from '../native/index.ts';
import type { ManifestFile } from './manifest.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const OWNER_ONLY = 0o600;
const PIECE = 1024 * 1024;

/** Whether a symbolic link is among the directories above a path; there was none at the dump. */
export function leadsThroughLink(path: string): boolean {
  let above = dirname(path);
  while (!existsSync(above)) above = dirname(above);
  return realpathSync(above) !== above;
}

/** Calls `use` with an open file, and closes it. @throws if the path leads somewhere else now */
async function withFile<T>(path: string, flags: number, use: (fd: number) => Promise<T>): Promise<T> {
  const fd = openSync(path, flags | O_NOFOLLOW | O_NONBLOCK, OWNER_ONLY);
  try {
    if (readlinkSync(`/proc/self/fd/${fd}`) !== path) throw new Error(`${path} leads somewhere else`);
    return await use(fd);
  } finally {
    closeSync(fd);
  }
}

/** The images belong to the user who restores; their directory may be reached through links. */
async function withImage<T>(path: string, flags: number, use: (fd: number) => Promise<T>): Promise<T> {
  const fd = openSync(path, flags | O_NOFOLLOW, OWNER_ONLY);
  try {
    return await use(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Calls `use` with a name for `path` below an open descriptor of its directory: a link that is put there meanwhile changes
 * nothing.
 * @throws the directory leads somewhere else now
 */
async function inDirectory<T>(path: string, use: (name: string, here: string) => T | Promise<T>): Promise<T> {
  const dir = dirname(path);
  const fd = openSync(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const here = `/proc/self/fd/${fd}`;
    if (readlinkSync(here) !== dir) throw new Error(`${dir} leads somewhere else`);
    return await use(join(here, basename(path)), here);
  } finally {
    closeSync(fd);
  }
}

/** Creates a directory with the usual mode, and those above it; one that is there is left as it is. */
async function makeDirectories(path: string): Promise<void> {
  if (path === '/') return;
  try {
    await inDirectory(path, () => undefined);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    await makeDirectories(dirname(path));
  }
  await inDirectory(path, (name) => {
    try {
      mkdirSync(name);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  });
}

/** @returns fewer bytes at the end of the file */
function readAt(fd: number, buffer: Buffer, at: number): Buffer {
  let length = 0;
  for (let read = -1; read !== 0 && length < buffer.length; length += read)
    read = readSync(fd, buffer, length, buffer.length - length, at + length);
  return buffer.subarray(0, length);
}

/** Ranges in order, of which those that touch are one. */
function union(ranges: readonly [number, number][]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [begin, end] of ranges.toSorted(([one], [other]) => one - other)) {
    const last = merged.at(-1);
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([begin, end]);
  }
  return merged;
}

/**
 * The bytes of one file wherever one of two is not a hole.
 * @throws it has become shorter
 */
function* piecesOf(fd: number, other: number, size: number): Generator<{ bytes: Buffer; at: number }> {
  const buffer = Buffer.alloc(PIECE);
  for (const [begin, end] of union([...dataRanges(fd, size), ...dataRanges(other, size)]))
    for (let at = begin; at < end; at += PIECE) {
      const bytes = readAt(fd, buffer.subarray(0, Math.min(PIECE, end - at)), at);
      if (bytes.length < Math.min(PIECE, end - at)) throw shorter(at + bytes.length, size);
      yield { bytes, at };
    }
}

const shorter = (now: number, then: number): Error =>
  new Error(`the file has ${now} bytes now, and had ${then}`);

/** Gives a file the contents of another one. What is a hole in both stays one. */
async function copy(from: number, to: number, size: number, pause: Pause): Promise<void> {
  const now = fstatSync(from).size;
  if (now < size) throw shorter(now, size);
  for (const { bytes, at } of piecesOf(from, to, size)) {
    for (let done = 0; done < bytes.length;)
      done += writeSync(to, bytes, done, bytes.length - done, at + done);
    await pause();
  }
  ftruncateSync(to, size);
}

/**
 * Copies the contents of a file into a new one that only its owner can read, as many bytes as it had when it was listed: others
 * may let it grow.
 * @throws it is another file than the listed one now, or has become shorter
 */
export function copyContents(
  path: string,
  listed: { dev: number; ino: number; size: number },
  target: string,
  pause: Pause,
): Promise<void> {
  return withFile(path, O_RDONLY, async (from) => {
    const stat = fstatSync(from);
    if (!stat.isFile() || stat.dev !== listed.dev || stat.ino !== listed.ino)
      throw new Error(`${path} is another file now`);
    await withImage(target, O_RDWR | O_CREAT | O_EXCL, (to) => copy(from, to, listed.size, pause));
  });
}

/** Whether a file begins with the kept contents; with `whole`, whether it has nothing else. */
export function hasContents(path: string, keptPath: string, whole: boolean, pause: Pause): Promise<boolean> {
  return withFile(path, O_RDONLY, (fd) =>
    withImage(keptPath, O_RDONLY, async (kept) => {
      const [now, then] = [fstatSync(fd).size, fstatSync(kept).size];
      if (whole ? now !== then : now < then) return false;
      const other = Buffer.alloc(PIECE);
      for (const { bytes, at } of piecesOf(kept, fd, then)) {
        if (!readAt(fd, other.subarray(0, bytes.length), at).equals(bytes)) return false;
        await pause();
      }
      return true;
    }),
  );
}

/** Gives an existing file its contents of the dump; processes that have it open see them. */
export function writeContents(path: string, keptPath: string, pause: Pause): Promise<void> {
  return withFile(path, O_RDWR, (fd) =>
    withImage(keptPath, O_RDONLY, (kept) => copy(kept, fd, fstatSync(kept).size, pause)),
  );
}

/**
 * Creates a file, directory or named pipe as it was. A directory above it that is missing gets the usual mode. A log that
 * was only appended to, and not kept, begins empty. A file that cannot be completed is removed: its owner and mode would
 * not be those of the dump.
 */
export async function createEntry(
  imagesDir: string,
  path: string,
  file: ManifestFile,
  pause: Pause,
): Promise<void> {
  const { kind, kept, uid, gid, mode, mtimeMs } = file;
  await makeDirectories(kind === 'directory' ? path : dirname(path));
  const flags = { file: O_RDWR | O_CREAT | O_EXCL, directory: O_RDONLY | O_DIRECTORY, fifo: O_RDONLY }[kind];
  await inDirectory(path, async (name, here) => {
    if (kind === 'fifo') execFileSync('mkfifo', ['--', basename(path)], { cwd: here });
    const fd = openSync(name, flags | O_NOFOLLOW | O_NONBLOCK, OWNER_ONLY);
    try {
      const stat = fstatSync(fd);
      // who may write to the directory may have put another one there
      if (kind === 'fifo' && (!stat.isFIFO() || stat.nlink !== 1)) throw new Error(`${path} was replaced`);
      if (kept !== undefined)
        await withImage(join(imagesDir, kept), O_RDONLY, (from) =>
          copy(from, fd, fstatSync(from).size, pause),
        );
      fchownSync(fd, uid, gid);
      fchmodSync(fd, mode);
      futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000);
    } catch (error) {
      if (kind === 'file') removeFile(name);
      throw error;
    } finally {
      closeSync(fd);
    }
  });
}

/** Gives a file that is there another name. */
export function linkEntry(existing: string, path: string): Promise<void> {
  return inDirectory(existing, (from) =>
    inDirectory(path, (to) => {
      linkSync(from, to);
    }),
  );
}
