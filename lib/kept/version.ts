// SPDX-License-Identifier: MIT
/**
 * Tells whether a file that a program only reads, such as a library or weights, is the one of the dump, without reading
 * all of it: by the build id, or by some of its pages.
 * @module
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { FileStatus } from '../native/index.ts';

const MAGIC = 0x464c457f; // "\x7fELF", little-endian
const HEADER_BYTES = 64;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;
/** Larger tables and notes are not read. Bytes. */
const MOST_BYTES = 64 * 1024;

const SAMPLES = 16;
const SAMPLE_BYTES = 4096;

function read(fd: number, length: number, at: number): Buffer {
  const buffer = Buffer.allocUnsafe(Math.min(length, MOST_BYTES));
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, at));
}

function withOpen<T>(path: string, use: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
  try {
    return use(fd);
  } catch {
    return undefined; // truncated, or damaged
  } finally {
    closeSync(fd);
  }
}

/** The build id among notes, each of which has a name and a value, filled to multiples of four bytes. */
function findBuildId(notes: Buffer): string | undefined {
  const filled = (length: number): number => Math.ceil(length / 4) * 4;
  for (let at = 0; at + 12 <= notes.length;) {
    const [nameBytes, valueBytes, type] = [0, 4, 8].map((offset) => notes.readUInt32LE(at + offset));
    const value = at + 12 + filled(nameBytes ?? 0);
    if (type === NT_GNU_BUILD_ID) return notes.toString('hex', value, value + (valueBytes ?? 0));
    at = value + filled(valueBytes ?? 0);
  }
  return undefined;
}

function buildIdOfOpen(fd: number): string | undefined {
  const header = read(fd, HEADER_BYTES, 0);
  const is64 = header[4] === CLASS_64 && header[5] === LITTLE_ENDIAN;
  if (header.length < HEADER_BYTES || header.readUInt32LE(0) !== MAGIC || !is64) return undefined;
  const table = Number(header.readBigUInt64LE(32));
  const [entryBytes, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  const entries = read(fd, entryBytes * count, table);
  for (let at = 0; at + entryBytes <= entries.length; at += entryBytes) {
    if (entries.readUInt32LE(at) !== PT_NOTE) continue;
    const [offset, length] = [8, 32].map((field) => Number(entries.readBigUInt64LE(at + field)));
    const found = findBuildId(read(fd, length ?? 0, offset ?? 0));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The build id of a program or library, hexadecimal. @returns `undefined` when there is none, or no such file */
export const readBuildId = (path: string): string | undefined => withOpen(path, buildIdOfOpen);

/** Whether a build id is the one that CRIU has stored, which ends with zeros that fill the last word. */
export const isBuildId = (found: string | undefined, stored: string): boolean =>
  found !== undefined && stored.startsWith(found) && /^0{0,6}$/.test(stored.slice(found.length));

/** For one sample at a time: a server has a thousand libraries and modules. */
const samples = Buffer.alloc(SAMPLES * SAMPLE_BYTES);

function sampleOfOpen(fd: number, size: number): string {
  const last = Math.max(0, size - SAMPLE_BYTES);
  const whole = size <= MOST_BYTES ? read(fd, size, 0) : undefined;
  let length = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const at = Math.floor((last * i) / (SAMPLES - 1));
    length +=
      whole?.copy(samples, length, at, at + SAMPLE_BYTES) ?? readSync(fd, samples, length, SAMPLE_BYTES, at);
  }
  const hash = createHash('sha256').update(String(size)).update(samples.subarray(0, length));
  return hash.digest('hex').slice(0, 32);
}

/**
 * A checksum of a file's size and of 16 pages that are spread over it, hexadecimal. Other weights of the same size have
 * another one; a file that differs only in between has not.
 * @returns `undefined` when it cannot be read
 */
export function sampleOf(path: string): string | undefined {
  return withOpen(path, (fd) => sampleOfOpen(fd, fstatSync(fd).size));
}

/** A file changes without a new time when it is written twice within a tick of the kernel's clock. Milliseconds. */
const TICK_MS = 1000;

const isSameContents = (one: FileStatus, other: FileStatus): boolean =>
  one.ino === other.ino &&
  one.dev === other.dev &&
  one.size === other.size &&
  one.mtimeMs === other.mtimeMs &&
  one.ctimeMs === other.ctimeMs;

/** Checksums that were taken before they are needed; one of a file that has changed since is taken once more. */
export class Samples {
  readonly #known = new Map<string, { status: FileStatus; sample: string }>();
  readonly #now: () => number;

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Takes the checksum of a file; not of programs and libraries that have a build id. */
  take(path: string): void {
    const found = withOpen(path, (fd) => {
      const stat = fstatSync(fd);
      const isQuiet = Math.max(stat.mtimeMs, stat.ctimeMs) < this.#now() - TICK_MS;
      if (!stat.isFile() || !isQuiet || buildIdOfOpen(fd) !== undefined) return undefined;
      return { status: stat, sample: sampleOfOpen(fd, stat.size) };
    });
    if (found) this.#known.set(path, found);
  }

  /** As {@link sampleOf}. @param status the file as it is now */
  of(path: string, status: FileStatus): string | undefined {
    const known = this.#known.get(path);
    return known && isSameContents(known.status, status) ? known.sample : sampleOf(path);
  }
}
