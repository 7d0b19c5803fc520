// SPDX-License-Identifier: MIT
/**
 * What a thread of a push reads and writes: it looks at pieces of host memory, and writes blocks. Each byte is read once for
 * that.
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Block, Piece } from '../format.ts';
import type { PlannedBlock, PlannedPart } from './blocks.ts';
import type { SourcePiece } from './contents.ts';

/** What is read and hashed at once: it stays in a core's cache. Bytes. */
const RUN_BYTES = 2 ** 20;
const ZEROES = Buffer.alloc(RUN_BYTES);

type Range = Pick<SourcePiece, 'source' | 'from' | 'length'>;

/** Reads ranges of the files of a directory. */
class Reader {
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

  /** @param take gets all of it in runs, each of which is valid until it returns */
  read({ source, from, length }: Range, take: (run: Buffer) => void): void {
    const file = this.#open(source);
    for (let done = 0; done < length;) {
      const read = readSync(file, this.#buffer, 0, Math.min(RUN_BYTES, length - done), from + done);
      if (read === 0) throw new Error(`${source} became shorter while it was read`);
      take(this.#buffer.subarray(0, read));
      done += read;
    }
  }

  close(): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
    this.#name = '';
  }
}

/** Looks at pieces of host memory. @returns for each, what decides where blocks end; `undefined`: it is zero */
export function marksOf(imagesDir: string, pieces: readonly Range[]): (bigint | undefined)[] {
  const reader = new Reader(imagesDir);
  try {
    return pieces.map((piece) => {
      const hash = createHash('sha256');
      let zeroes = 0;
      reader.read(piece, (run) => {
        hash.update(run);
        if (run.equals(ZEROES.subarray(0, run.length))) zeroes += run.length;
      });
      return zeroes === piece.length ? undefined : hash.digest().readBigUInt64LE();
    });
  } finally {
    reader.close();
  }
}

/** A block that is written, and its checksums. */
class OpenBlock {
  readonly pieces: Piece[] = [];
  readonly #file: number;
  readonly #hash = createHash('sha256');
  #size = 0;
  #piece: { offset: number; hash: Hash } | undefined;

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600);
  }

  /** @param isOfPiece false for bytes between pieces */
  append(bytes: Buffer, isOfPiece: boolean): void {
    if (isOfPiece) {
      this.#piece ??= { offset: this.#size, hash: createHash('sha256') };
      this.#piece.hash.update(bytes);
    }
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) done += writeSync(this.#file, bytes, done);
    this.#size += bytes.length;
  }

  /** Fills up with zeroes. */
  fillTo(end: number): void {
    if (this.#size < end) this.append(ZEROES.subarray(0, end - this.#size), this.#piece !== undefined);
  }

  get pieceBytes(): number {
    return this.#piece ? this.#size - this.#piece.offset : 0;
  }

  endPiece(place: PlannedPart['target']): void {
    if (!this.#piece) return;
    const { offset, hash } = this.#piece;
    this.pieces.push({ offset, length: this.#size - offset, sha256: hash.digest('hex'), ...place });
    this.#piece = undefined;
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Writes a block to a file that does not exist. */
export function writeBlock(imagesDir: string, planned: PlannedBlock, path: string): Block {
  const { kind, parts, pieceBytes, size } = planned;
  const reader = new Reader(imagesDir);
  const block = new OpenBlock(path);
  try {
    for (const part of parts) {
      reader.read(part, (run) => {
        block.append(run, true);
      });
      if (part.target) block.endPiece(part.target);
      block.fillTo(part.end);
      if (block.pieceBytes >= pieceBytes) block.endPiece(undefined);
    }
    block.endPiece(undefined);
    return { kind, digest: block.digest(), size, pieces: block.pieces };
  } finally {
    block.close();
    reader.close();
  }
}
