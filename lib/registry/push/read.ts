// SPDX-License-Identifier: MIT
/** Reads the bytes of blocks where they are, in the files of an images directory. @module */
import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { PlannedPart } from './blocks.ts';
import type { SourcePiece } from './contents.ts';

/** What is read and hashed at once: it stays in a core's cache. Bytes. */
const RUN_BYTES = 2 ** 20;
const ZEROES = Buffer.alloc(RUN_BYTES);

type Range = Pick<SourcePiece, 'source' | 'from' | 'length'>;

/** Reads ranges of the files of a directory. */
export class Reader {
  readonly #dir: string;
  readonly #buffer = Buffer.allocUnsafe(RUN_BYTES);
  #name = '';
  #file = -1;

  constructor(dir: string) {
    this.#dir = dir;
  }

  #open(name: string): number {
    if (this.#name === name) return this.#file;
    this.close();
    this.#file = openSync(join(this.#dir, name), 'r');
    this.#name = name;
    return this.#file;
  }

  /** All of a range in runs, each of which is valid until the next one is asked for. */
  *runs({ source, from, length }: Range): Generator<Buffer> {
    const file = this.#open(source);
    for (let done = 0; done < length;) {
      const read = readSync(file, this.#buffer, 0, Math.min(RUN_BYTES, length - done), from + done);
      if (read === 0) throw new Error(`${source} became shorter while it was read`);
      done += read;
      yield this.#buffer.subarray(0, read);
    }
  }

  close(): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    this.#name = '';
  }
}

/** So many zeroes, in runs. */
export function* zeroes(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= RUN_BYTES) yield ZEROES.subarray(0, Math.min(RUN_BYTES, left));
}

/** Bytes of a blob, and the directory that has them. */
export interface BlobParts {
  dir: string;
  parts: readonly PlannedPart[];
}

/** All bytes of a blob in runs, each of which is valid until the next one is asked for. */
export function* runsOf({ dir, parts }: BlobParts): Generator<Buffer> {
  const reader = new Reader(dir);
  let at = 0;
  try {
    for (const part of parts) {
      yield* reader.runs(part);
      yield* zeroes(part.end - at - part.length);
      at = part.end;
    }
  } finally {
    reader.close();
  }
}

/**
 * Looks at pieces of host memory. The same bytes have the same mark, which nothing else is known by: a CRC takes a third of
 * the time of SHA-256.
 * @returns for each, what decides where blocks end; `undefined`: it is zero
 */
export function marksOf(dir: string, pieces: readonly Range[]): (bigint | undefined)[] {
  const reader = new Reader(dir);
  try {
    return pieces.map((piece) => {
      let mark = 0;
      let nrZeroes = 0;
      for (const run of reader.runs(piece)) {
        mark = crc32(run, mark);
        if (run.equals(ZEROES.subarray(0, run.length))) nrZeroes += run.length;
      }
      return nrZeroes === piece.length ? undefined : BigInt(mark);
    });
  } finally {
    reader.close();
  }
}

/** Up to so many bytes of a block, of one part of it. @param at where they begin in the block */
export function readAt({ dir, parts }: BlobParts, at: number, length: number): Buffer {
  const index = parts.findIndex(({ end }) => at < end);
  const part = parts[index];
  if (!part) return Buffer.alloc(0);
  const offset = at - (parts[index - 1]?.end ?? 0);
  const wanted = Math.max(0, Math.min(length, part.length - offset));
  const reader = new Reader(dir);
  try {
    return Buffer.concat([...reader.runs({ source: part.source, from: part.from + offset, length: wanted })]);
  } finally {
    reader.close();
  }
}
