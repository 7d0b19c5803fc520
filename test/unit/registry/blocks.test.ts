// SPDX-License-Identifier: MIT
// How much two images share: with blocks that their content cuts, and with blocks of a fixed size.
import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cutFor, planBlocks, type Cut } from '../../../lib/registry/push/blocks.ts';
import type { Sequence, SourcePiece } from '../../../lib/registry/push/contents.ts';
import { marksOf } from '../../../lib/registry/push/read.ts';
import { describeBlock, writeBlock } from '../../../lib/registry/push/write.ts';
import type { Block } from '../../../lib/registry/format.ts';

/** Everything is a thousandth of what is real: 8 KiB for chunks of 8 MiB. */
const KIB = 1024;
const CHUNK = 8 * KIB;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-blocks-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const sumOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Chunk number `index` of some weights: always the same bytes. */
const chunkOf = (index: number): Buffer => Buffer.alloc(CHUNK, sumOf(Buffer.from(`chunk ${index}`)));

function imageOf(name: string, indexes: readonly number[]): Sequence {
  const file = openSync(join(dir, name), 'w');
  const pieces = indexes.map((index, at): SourcePiece => {
    const bytes = chunkOf(index);
    writeSync(file, bytes);
    const mark = sumOf(bytes).readBigUInt64LE();
    return { source: name, from: at * CHUNK, length: CHUNK, target: undefined, mark };
  });
  closeSync(file);
  return { kind: 'stripe', image: undefined, pieces };
}

function blocksOf({ kind, pieces }: Sequence, cut: Cut): { blocks: Block[]; places: number } {
  const plan = planBlocks(kind, pieces, cut, () => 0);
  const blocks = plan.blocks.map((planned, index) => {
    const path = join(dir, `block-${index}`);
    const block = writeBlock(dir, planned, path);
    const bytes = readFileSync(path);
    rmSync(path);
    expect(bytes).toHaveLength(planned.size);
    expect(`sha256:${sumOf(bytes).toString('hex')}`).toBe(block.digest);
    expect(describeBlock(dir, planned)).toEqual(block);
    return block;
  });
  return { blocks, places: plan.places.length };
}

function sharedPart(one: readonly Block[], other: readonly Block[]): number {
  const known = new Set(one.map(({ digest }) => digest));
  const shared = other.filter(({ digest }) => known.has(digest));
  const bytesOf = (blocks: readonly Block[]): number => blocks.reduce((sum, { size }) => sum + size, 0);
  return bytesOf(shared) / bytesOf(one);
}

describe('two images with the same weights', () => {
  /** 8 GiB. */
  const weights = Array.from({ length: 1024 }, (_, index) => index);
  const fixed: Cut = { least: 64 * KIB, most: 64 * KIB, mask: 0n };

  it.each([
    ['what is after them differs', [...weights, 900], 1],
    ['three chunks more are before them', [900, 901, 902, ...weights], 0],
    [
      'three chunks more are in the middle',
      [...weights.slice(0, 512), 900, 901, 902, ...weights.slice(512)],
      0.5,
    ],
    ['eight chunks, a fixed block, are before them', [...weights.slice(100, 108), ...weights], 1],
  ])('%s', (_name, indexes, withFixed) => {
    const [base, other] = [imageOf('base', weights), imageOf('other', indexes)];
    const cut = cutFor(base, 64 * KIB);
    const shared = sharedPart(blocksOf(base, cut).blocks, blocksOf(other, cut).blocks);
    const same = sharedPart(blocksOf(base, fixed).blocks, blocksOf(other, fixed).blocks);
    expect(shared).toBeGreaterThan(0.98);
    expect(same).toBeCloseTo(withFixed, 1);
  });
});

describe('blocks', () => {
  it('of device memory have one checksum, and all bytes of the chunks', () => {
    const sequence = imageOf('base', [1, 2, 3, 4, 5]);
    const cut = { least: 1, most: 3 * CHUNK, mask: 2n ** 63n - 1n };
    const { blocks, places } = blocksOf(sequence, cut);
    expect(places).toBe(5);
    expect(blocks.map(({ size }) => size)).toEqual([3 * CHUNK, 2 * CHUNK]);
    const bytes = [1, 2, 3, 4, 5].map(chunkOf);
    const sums = [bytes.slice(0, 3), bytes.slice(3)].map((of) => sumOf(Buffer.concat(of)).toString('hex'));
    expect(blocks.map(({ pieces }) => pieces)).toEqual([
      [{ offset: 0, length: 3 * CHUNK, sha256: sums[0] }],
      [{ offset: 0, length: 2 * CHUNK, sha256: sums[1] }],
    ]);
  });

  it('leave out zeroes of host memory, and keep their place', () => {
    const bytes = Buffer.alloc(3 * CHUNK);
    bytes.fill('x', 2 * CHUNK);
    writeFileSync(join(dir, 'pages'), bytes);
    const pieces = [0, 1, 2].map((index) => ({
      ...{ source: 'pages', from: index * CHUNK, length: CHUNK },
      ...{ target: 'pages', mark: undefined },
    }));
    const marks = marksOf(dir, pieces);
    expect(marks).toEqual([undefined, undefined, BigInt(crc32(bytes.subarray(2 * CHUNK)))]);
    const marked = pieces.flatMap((piece, index) => (marks[index] === undefined ? [] : [piece]));
    const { blocks } = blocksOf({ kind: 'pages', image: undefined, pieces: marked }, cutFor({ pieces }));
    expect(blocks).toMatchObject([
      { size: CHUNK, pieces: [{ offset: 0, length: CHUNK, at: 2 * CHUNK, file: 0 }] },
    ]);
  });

  it.each([
    [0, 64],
    [32, 64],
    [141, 512],
    [1024, 2048],
  ])('of %i GiB have about %i MiB', (gib, mib) => {
    const length = 512 * 2 ** 20;
    const pieces = Array.from({ length: gib * 2 }, () => ({ length }) as SourcePiece);
    expect(cutFor({ pieces }).most).toBe(4 * mib * 2 ** 20);
  });
});
