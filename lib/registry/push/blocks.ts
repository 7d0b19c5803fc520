// SPDX-License-Identifier: MIT
/**
 * Decides how a sequence of pieces is cut into blocks, before any of them is written. A block ends where its content says
 * so, as far as its size allows, and not at a fixed position: what one image has more than another moves no later boundary.
 * @module
 */
import type { ChunkPlace } from '../../images/index.ts';
import { digestOf, hexOf, type Block, type BlockKind, type Piece } from '../format.ts';
import type { Sequence, SourcePiece } from './contents.ts';

const ALIGN = 4096;
const MIB = 2 ** 20;
/** A block has about this size, between a quarter and four times of it. Bytes. */
const BLOCK_BYTES = 64 * MIB;
/** The pool reads at most 1024 stripes of an image. */
const MOST_BLOCKS = 512;

/** How a sequence is cut. */
export interface Cut {
  /** Bytes of a block. */
  least: number;
  most: number;
  /** A piece whose mark has none of these bits ends a block. */
  mask: bigint;
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
  };
}

/** Bytes that are read from a file into a block; after them, zeroes up to `end`. */
export interface PlannedPart {
  /** File name in the images directory. */
  source: string;
  /** First byte there. */
  from: number;
  length: number;
  /** Where the next part begins in the block, or the block ends. */
  end: number;
  /** Where they belong, by the index of their file: they have a checksum of their own. Device memory has one for the block. */
  target: Pick<Piece, 'file' | 'at'> | undefined;
}

/** A block that is to be written. */
export interface PlannedBlock {
  kind: BlockKind;
  size: number;
  parts: PlannedPart[];
}

/** How a sequence becomes blocks. */
export interface Plan {
  blocks: PlannedBlock[];
  /** Of each piece. */
  places: ChunkPlace[];
}

/**
 * Cuts a sequence into blocks.
 * @param pieces all with a mark, except those of small files
 * @param fileIndex index of a file in the description
 */
export function planBlocks(
  kind: BlockKind,
  pieces: readonly SourcePiece[],
  { least, most, mask }: Cut,
  fileIndex: (name: string) => number,
): Plan {
  const plan: Plan = { blocks: [], places: [] };
  let current: PlannedBlock | undefined;
  for (const { source, from, length, target, mark = 0n } of pieces) {
    if (!current) plan.blocks.push((current = { kind, size: 0, parts: [] }));
    plan.places.push({ stripe: plan.blocks.length - 1, offset: current.size });
    current.size += length;
    if (kind !== 'small') current.size = Math.ceil(current.size / ALIGN) * ALIGN;
    const place = target === undefined ? undefined : { file: fileIndex(target), at: from };
    current.parts.push({ source, from, length, end: current.size, target: place });
    const isBoundary = kind !== 'small' && current.size >= least && (mark & mask) === 0n;
    if (isBoundary || current.size >= most) current = undefined;
  }
  return plan;
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
