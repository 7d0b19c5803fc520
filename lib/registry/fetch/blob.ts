// SPDX-License-Identifier: MIT
/**
 * Moves one blob into the cache. Its bytes go to a file of their own, which gets the blob's name when all are there and
 * their SHA-256 is the digest; what an interrupted pull has left of it is not moved again.
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { fsync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FRUITLESS, LEAST_BYTES } from './pace.ts';
import { SourceError, type BlobSource, type SourceFailure } from './source.ts';

const syncFile = promisify(fsync);

/** A blob that is wanted. */
export interface WantedBlob {
  digest: string;
  size: number;
}

/** Why a blob has not come. `wrong`: a source has other bytes than the digest says. `local`: this machine cannot keep it. */
export type BlobFailure = SourceFailure | 'wrong' | 'local';

/** No source has the blob. */
export class BlobError extends Error {
  readonly failure: BlobFailure;

  constructor(failure: BlobFailure, message: string) {
    super(message);
    this.name = 'BlobError';
    this.failure = failure;
  }
}

/** How a blob is moved. */
export interface BlobOptions {
  /** Gets bytes as they arrive, and negative ones when some are thrown away. */
  onBytes: (bytes: number) => void;
  signal: AbortSignal;
  /** Before the second attempt; doubled before each later one. Milliseconds. @default 200 */
  pauseMs?: number | undefined;
}

/** Attempts at one source that bring something, and break off. */
const BROKEN_OFF = 50;
const PAUSE_MS = 200;
const READ_BYTES = 2 ** 20;

/** The file of a blob that is not whole. The cache does not count a name with a dot. */
export const partPath = (dir: string, hex: string): string => join(dir, `.${hex}.part`);

/** The bytes of a blob that are there, and their SHA-256. */
class Part {
  readonly #file: number;
  readonly #onBytes: (bytes: number) => void;
  #hash: Hash = createHash('sha256');
  done = 0;

  constructor(path: string, size: number, onBytes: (bytes: number) => void) {
    this.#onBytes = onBytes;
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    if (fstatSync(this.#file).size > size) ftruncateSync(this.#file, 0);
    this.#readAgain();
  }

  #readAgain(): void {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const read = readSync(this.#file, buffer, 0, buffer.length, this.done);
      if (read === 0) return;
      this.#hash.update(buffer.subarray(0, read));
      this.#advance(read);
    }
  }

  #advance(bytes: number): void {
    this.done += bytes;
    this.#onBytes(bytes);
  }

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    for (let written = 0; written < bytes.length;)
      written += writeSync(this.#file, bytes, written, bytes.length - written, this.done + written);
    this.#advance(bytes.length);
  }

  clear(): void {
    ftruncateSync(this.#file, 0);
    this.#hash = createHash('sha256');
    this.#advance(-this.done);
  }

  /** The digest of all bytes that were added; then only {@link clear} is of use. */
  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  sync(): Promise<void> {
    return syncFile(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads what is missing of a blob from one source, in as many attempts as are worth it. */
async function readRest(
  part: Part,
  { digest, size }: WantedBlob,
  source: BlobSource,
  { signal, pauseMs = PAUSE_MS }: BlobOptions,
): Promise<void> {
  let fruitless = 0;
  for (let attempt = 1; part.done < size; attempt += 1) {
    const before = part.done;
    try {
      const range = { digest, size, offset: before, length: size - before };
      await source.read(
        range,
        (bytes) => {
          part.add(bytes);
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof SourceError) || error.failure !== 'passing') throw error;
      fruitless = part.done - before >= LEAST_BYTES ? 0 : fruitless + 1;
      if (fruitless === FRUITLESS || attempt === BROKEN_OFF) throw error;
      await wait(Math.max(error.waitMs, pauseMs * 2 ** fruitless), undefined, { signal });
    }
  }
}

/** @returns whether the bytes are the blob's */
async function readFrom(
  part: Part,
  blob: WantedBlob,
  source: BlobSource,
  options: BlobOptions,
): Promise<boolean> {
  const wasLeft = part.done > 0;
  await readRest(part, blob, source, options);
  if (part.digest() === blob.digest) return true;
  part.clear();
  // what was left may be of another source, or of a disk that has lost it
  if (!wasLeft) return false;
  await readRest(part, blob, source, options);
  if (part.digest() === blob.digest) return true;
  part.clear();
  return false;
}

/**
 * A blob from the first source that has it; what one has sent is not continued with bytes of another.
 * @returns the index of that source
 */
async function readFromAny(
  part: Part,
  blob: WantedBlob,
  sources: readonly BlobSource[],
  options: BlobOptions,
): Promise<number> {
  let last = new BlobError('absent', `nobody has ${blob.digest}`);
  for (const [index, source] of sources.entries()) {
    const left = part.done;
    try {
      if (await readFrom(part, blob, source, options)) return index;
      source.distrust?.(blob.digest);
      last = new BlobError('wrong', `${source.name} has other bytes than its digest ${blob.digest} says`);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      last = new BlobError(error.failure, error.message);
      // what an earlier pull has left stays for the next one, if this one has added nothing
      if (part.done !== left && source !== sources.at(-1)) part.clear();
    }
  }
  throw last;
}

/**
 * Moves a blob to the directory of blobs, where its name is the digest's hexadecimal digits.
 * @param sources in the order in which they are asked
 * @returns the index of the source that had it
 * @throws {@link BlobError} no source has it
 */
export async function fetchBlob(
  blob: WantedBlob,
  dir: string,
  sources: readonly BlobSource[],
  options: BlobOptions,
): Promise<number> {
  const hex = blob.digest.slice('sha256:'.length);
  const path = partPath(dir, hex);
  const part = new Part(path, blob.size, options.onBytes);
  let source: number;
  try {
    source = await readFromAny(part, blob, sources, options);
    await part.sync();
  } finally {
    part.close();
  }
  // in this order: an interrupted pull leaves no part that its user cannot write
  renameSync(path, join(dir, hex));
  chmodSync(join(dir, hex), 0o400);
  return source;
}
