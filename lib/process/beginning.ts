// SPDX-License-Identifier: MIT
/**
 * Reads what another program decides about: its arguments and environment are wherever in its memory it says, and are as
 * long, and at a path that it names there may be a named pipe, a link, or a file without end.
 * @module
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Arguments or environment: the kernel lets a program start with that much of both. Bytes. */
export const MOST_OF_WORDS = 6 * 2 ** 20;

/**
 * The first bytes of a file; it does not wait for a writer.
 * @returns empty where there is no such file that may be read
 */
export function readBeginning(path: string, maxBytes: number): string {
  let fd: number | undefined;
  try {
    fd = openSync(path, FLAGS);
    if (!fstatSync(fd).isFile()) return '';
    const bytes = Buffer.allocUnsafe(maxBytes);
    let length = 0;
    for (let more = 1; more > 0 && length < maxBytes; length += more)
      more = readSync(fd, bytes, length, maxBytes - length, null);
    return bytes.toString('utf8', 0, length);
  } catch {
    return ''; // the process has ended, or belongs to another user
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** The same off the event loop. */
export async function readBeginningAside(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, FLAGS).catch(() => undefined);
  if (!file) return '';
  try {
    if (!(await file.stat()).isFile()) return '';
    const bytes = Buffer.allocUnsafe(maxBytes);
    let length = 0;
    for (let more = 1; more > 0 && length < maxBytes; length += more)
      more = (await file.read(bytes, length, maxBytes - length, null)).bytesRead;
    return bytes.toString('utf8', 0, length);
  } catch {
    return '';
  } finally {
    await file.close();
  }
}
