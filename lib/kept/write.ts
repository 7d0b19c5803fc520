// SPDX-License-Identifier: MIT
/**
 * Writes the files of a checkpoint, often as root and in directories of other users: no symbolic link is followed, and a
 * file is created only where nothing is.
 * @module
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { ManifestFile } from './manifest.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;
const OWNER_ONLY = 0o600;

/** Whether the directories above a path lead where they led at the dump, when none of them was a symbolic link. */
export function leadsThroughLink(path: string): boolean {
  let above = dirname(path);
  while (!existsSync(above)) above = dirname(above);
  return realpathSync(above) !== above;
}

/** Calls `use` with an open file, and closes it. */
function withFile(path: string, flags: number, use: (fd: number) => void): void {
  const fd = openSync(path, flags | O_NOFOLLOW | O_NONBLOCK, OWNER_ONLY);
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at);
  ftruncateSync(fd, bytes.length);
}

/** Gives an existing file its contents of the dump; processes that have it open see them. */
export function writeContents(path: string, keptPath: string): void {
  const bytes = readFileSync(keptPath);
  withFile(path, O_RDWR, (fd) => {
    writeAll(fd, bytes);
  });
}

/**
 * Creates a file, directory or named pipe as it was. A directory above it that is missing gets the usual mode. A log that
 * was only appended to, and not kept, begins empty.
 */
export function createEntry(imagesDir: string, path: string, file: ManifestFile): void {
  const { kind, kept, uid, gid, mode, mtimeMs } = file;
  mkdirSync(kind === 'directory' ? path : dirname(path), { recursive: true });
  if (kind === 'fifo') execFileSync('mkfifo', [path]);
  const flags = { file: O_RDWR | O_CREAT | O_EXCL, directory: O_RDONLY | O_DIRECTORY, fifo: O_RDONLY }[kind];
  withFile(path, flags, (fd) => {
    if (kept !== undefined) writeAll(fd, readFileSync(join(imagesDir, kept)));
    fchownSync(fd, uid, gid);
    fchmodSync(fd, mode);
    futimesSync(fd, mtimeMs / 1000, mtimeMs / 1000);
  });
}
