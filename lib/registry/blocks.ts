// SPDX-License-Identifier: MIT
/**
 * Cuts a sequence of pieces into blocks and writes them to files. A block ends where its content says so, as far as its
 * size allows, and not at a fixed position: what one image has more than another moves no later boundary.
 * @module
 */
import { createHash, type Hash } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ChunkPlace } from '../images/index.ts';
import type { Sequence, SourcePiece } from './contents.ts';
import { digestOf, hexOf, type Block, type Piece } from './format.ts';

const ALIGN = 4096;
const MIB = 2 ** 20;
/** A block has about this size, between a quarter and four times of it. Bytes. */
const BLOCK_BYTES = 64 * MIB;
/** Device memory has a checksum for each part of about this size. Bytes. */
const PIECE_BYTES = 8 * MIB;
/** The pool reads at most 1024 stripes of an image. */
const MOST_BLOCKS = 512;
/** The description has to stay small. */
const MOST_PIECES = 16_384;

const ZEROES = Buffer.alloc(4 * MIB);

/** How a sequence is cut. */
export interface Cut {
  /** Bytes of a block. */
  least: number;
  most: number;
  /** A piece whose mark has none of these bits ends a block. */
  mask: bigint;
  /** Least bytes of a part of device memory with a checksum. */
  pieceBytes: number;
}

const powerOfTwo = (least: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, least)));

/** Chooses sizes: larger ones only where there would be too many blocks. */
export function cutFor({ pieces }: Pick<Sequence, 'pieces'>, blockBytes = BLOCK_BYTES): Cut {
  const total = pieces.reduce((sum, { length }) => sum + length, 0);
  const largest = pieces.reduce((most, { length }) => Math.max(most, length), 1);
  const target = Math.max(blockBytes, powerOfTwo(total / MOST_BLOCKS));
  return {
    ...{ least: target / 4, most: target * 4 },
    mask: BigInt(Math.max(1, powerOfTwo(target / largest)) - 1),
    pieceBytes: Math.max(PIECE_BYTES, powerOfTwo(total / MOST_PIECES)),
  };
}

/** A block in a file of its own, whose name is its digest. */
export interface WrittenBlock {
  block: Block;
  path: string;
}

/** A block, its checksums, and the file that it is written to. */
class OpenBlock {
  readonly pieces: Piece[] = [];
  size = 0;
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #dir: string;
  readonly #hash = createHash('sha256');
  #piece: { offset: number; hash: Hash } | undefined;

  private constructor(file: FileHandle, path: string, dir: string) {
    this.#file = file;
    this.#path = path;
    this.#dir = dir;
  }

  static async create(dir: string): Promise<OpenBlock> {
    const path = join(dir, 'block.part');
    return new OpenBlock(await open(path, 'w', 0o600), path, dir);
  }

  async write(bytes: Buffer): Promise<void> {
    this.#piece ??= { offset: this.size, hash: createHash('sha256') };
    this.#piece.hash.update(bytes);
    await this.#append(bytes);
  }

  /** Fills up to a page; within a piece, the bytes belong to it. */
  async align(): Promise<void> {
    const rest = this.size % ALIGN;
    if (rest === 0) return;
    const filling = ZEROES.subarray(0, ALIGN - rest);
    this.#piece?.hash.update(filling);
    await this.#append(filling);
  }

  async #append(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.size + done);
      done += bytesWritten;
    }
    this.size += bytes.length;
  }

  get pieceSize(): number {
    return this.#piece ? this.size - this.#piece.offset : 0;
  }

  /** @returns the SHA-256 of the piece that ends here */
  endPiece(place: Pick<Piece, 'file' | 'at'> = {}): Buffer | undefined {
    if (!this.#piece) return undefined;
    const { offset, hash } = this.#piece;
    const sum = hash.digest();
    this.pieces.push({ offset, length: this.size - offset, sha256: sum.toString('hex'), ...place });
    this.#piece = undefined;
    return sum;
  }

  async finish(kind: Block['kind']): Promise<WrittenBlock> {
    await this.#file.close();
    const digest = `sha256:${this.#hash.digest('hex')}`;
    const path = join(this.#dir, hexOf(digest));
    await rename(this.#path, path);
    return { block: { kind, digest, size: this.size, pieces: this.pieces }, path };
  }

  async discard(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }
}

async function readFully(file: FileHandle, into: Buffer, piece: SourcePiece): Promise<Buffer> {
  const { source, from, length } = piece;
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(into, done, length - done, from + done);
    if (bytesRead === 0) throw new Error(`${source} became shorter while it was read`);
    done += bytesRead;
  }
  return into.subarray(0, length);
}

/** Reads pieces of files, the next one while one is used. */
async function* readPieces(
  imagesDir: string,
  pieces: readonly SourcePiece[],
  signal: AbortSignal | undefined,
): AsyncGenerator<{ piece: SourcePiece; bytes: Buffer }> {
  const largest = pieces.reduce((most, { length }) => Math.max(most, length), 1);
  const buffers = [Buffer.allocUnsafe(largest), Buffer.allocUnsafe(largest)];
  const files = new Map<string, FileHandle>();
  const start = async (index: number): Promise<Buffer | undefined> => {
    const piece = pieces[index];
    const buffer = buffers[index % 2];
    if (!piece || !buffer) return undefined;
    const file = files.get(piece.source) ?? (await open(join(imagesDir, piece.source), 'r'));
    files.set(piece.source, file);
    return readFully(file, buffer, piece);
  };
  let next = start(0);
  try {
    for (const [index, piece] of pieces.entries()) {
      signal?.throwIfAborted();
      const bytes = await next;
      next = start(index + 1);
      if (bytes) yield { piece, bytes };
    }
  } finally {
    await next.catch(() => undefined);
    for (const file of files.values()) await file.close();
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROES.subarray(0, bytes.length));
}

/** What {@link writeBlocks} needs. */
export interface BlockOptions {
  imagesDir: string;
  /** Where blocks are written. */
  dir: string;
  /** Index of a file in the description. */
  fileIndex: (name: string) => number;
  /** Takes each block; reading waits for it. */
  onBlock: (written: WrittenBlock) => Promise<void>;
  /** @default sizes as {@link cutFor} chooses them */
  cut?: Cut | undefined;
  signal?: AbortSignal | undefined;
}

/** @returns for device memory, the place of each chunk in the blocks */
export async function writeBlocks(sequence: Sequence, options: BlockOptions): Promise<ChunkPlace[]> {
  const { imagesDir, dir, fileIndex, onBlock, signal } = options;
  const { kind, pieces } = sequence;
  const { least, most, mask, pieceBytes } = options.cut ?? cutFor(sequence);
  const places: ChunkPlace[] = [];
  let nrBlocks = 0;
  let current: OpenBlock | undefined;
  const finish = async (): Promise<void> => {
    if (!current) return;
    current.endPiece();
    const written = await current.finish(kind);
    current = undefined;
    nrBlocks += 1;
    await onBlock(written);
  };
  try {
    for await (const { piece, bytes } of readPieces(imagesDir, pieces, signal)) {
      if (kind === 'pages' && isZero(bytes)) continue;
      current ??= await OpenBlock.create(dir);
      places.push({ stripe: nrBlocks, offset: current.size });
      await current.write(bytes);
      let mark = piece.mark;
      if (piece.target !== undefined) {
        const sum = current.endPiece({ file: fileIndex(piece.target), at: piece.from });
        mark ??= sum?.readBigUInt64LE();
      }
      if (kind !== 'small') await current.align();
      if (kind === 'stripe' && current.pieceSize >= pieceBytes) current.endPiece();
      const isBoundary = kind !== 'small' && current.size >= least && ((mark ?? 0n) & mask) === 0n;
      if (isBoundary || current.size >= most) await finish();
    }
    await finish();
    return places;
  } finally {
    await current?.discard();
  }
}

/** A block of bytes in memory, one piece for each file. */
export function blockOf(files: readonly { index: number; bytes: Buffer }[]): { block: Block; bytes: Buffer } {
  const bytes = Buffer.concat(files.map((one) => one.bytes));
  let offset = 0;
  const pieces = files
    .filter((one) => one.bytes.length > 0)
    .map((one): Piece => {
      const { length } = one.bytes;
      const piece = { offset, length, sha256: hexOf(digestOf(one.bytes)), file: one.index, at: 0 };
      offset += length;
      return piece;
    });
  return { block: { kind: 'small', digest: digestOf(bytes), size: bytes.length, pieces }, bytes };
}
