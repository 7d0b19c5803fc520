// SPDX-License-Identifier: MIT
// Files with holes, which a program may have made of any size: neither their pushes nor their pulls look at a hole.
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { imagesBytes } from '../../../lib/checkpoint/index.ts';
import { assemble } from '../../../lib/registry/directory/assemble.ts';
import type { Block, Description } from '../../../lib/registry/format.ts';
import { cutFor, planBlocks } from '../../../lib/registry/push/blocks.ts';
import { readContents, type SourcePiece } from '../../../lib/registry/push/contents.ts';
import { marksOf } from '../../../lib/registry/push/read.ts';
import { writeBlock } from '../../../lib/registry/push/write.ts';

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const NAME = 'criu-cuda-file-0.img';

let parent: string;
let dir: string;
beforeEach(() => {
  parent = mkdtempSync('/dev/shm/criu-cuda-test-'); // a tmpfs: it has holes, and files of any size
  dir = join(parent, 'images');
  mkdirSync(dir);
});
afterEach(() => {
  rmSync(parent, { recursive: true });
});

/** A file of holes, but for these bytes. */
function makeSparse(size: number, places: readonly number[]): void {
  const fd = openSync(join(dir, NAME), 'w');
  ftruncateSync(fd, size);
  for (const at of places) writeSync(fd, `data at ${at}`, at);
  closeSync(fd);
}

const piecesOfDir = async (): Promise<SourcePiece[]> => {
  const { sequences } = await readContents(dir);
  return sequences.flatMap(({ pieces }) => pieces);
};

it('of a file with holes, only the pieces with data are read', async () => {
  const places = [5 * MIB, TIB / 2 - 4, TIB - 100];
  makeSparse(TIB, places);
  const pieces = await piecesOfDir();
  expect(pieces.map(({ from, length }) => [from, length])).toEqual([
    [4 * MIB, 4 * MIB],
    [TIB / 2 - 4 * MIB, 4 * MIB],
    [TIB / 2, 4 * MIB],
    [TIB - 4 * MIB, 4 * MIB],
  ]);
});

it('the pieces are those of a file without holes that are not zero', async () => {
  makeSparse(33 * MIB + 7, [0, MIB, 9 * MIB, 13 * MIB, 33 * MIB]);
  const sparse = await piecesOfDir();
  const marks = marksOf(dir, sparse);
  writeFileSync(join(dir, NAME), readFileSync(join(dir, NAME)));
  const all = await piecesOfDir();
  expect(all).toHaveLength(9);
  const filled = marksOf(dir, all);
  const isData = (_: unknown, index: number): boolean => filled[index] !== undefined;
  expect(sparse).toEqual(all.filter(isData));
  expect(marks).toEqual(filled.filter(isData));
});

it('a pulled file has its size and its bytes, and holes where there were some', async () => {
  const places = [3 * MIB, 700 * MIB];
  makeSparse(TIB + 1, places);
  const { files, sequences } = await readContents(dir);
  const paths = new Map<Block, string>();
  for (const sequence of sequences) {
    const marks = marksOf(dir, sequence.pieces);
    const pieces = sequence.pieces.flatMap((piece, index) => {
      const mark = marks[index];
      return mark === undefined ? [] : [{ ...piece, mark }];
    });
    for (const planned of planBlocks(sequence.kind, pieces, cutFor(sequence), () => 0).blocks) {
      const path = join(parent, `block-${paths.size}`);
      paths.set(writeBlock(dir, planned, path), path);
    }
  }
  const target = join(parent, 'pulled');
  mkdirSync(target);
  const description = { files, blocks: [...paths.keys()] } as unknown as Description;
  const findBlock = (block: Block) => ({
    ...{ path: paths.get(block) ?? '', digest: block.digest, isCompressed: false },
  });
  await assemble(description, target, findBlock, undefined);
  const { size, blocks } = statSync(join(target, NAME));
  expect(size).toBe(TIB + 1);
  expect(blocks * 512).toBeLessThan(8 * MIB);
  const fd = openSync(join(target, NAME), 'r');
  for (const at of places) {
    const bytes = Buffer.alloc(`data at ${at}`.length);
    readSync(fd, bytes, 0, bytes.length, at);
    expect(bytes.toString()).toBe(`data at ${at}`);
  }
  closeSync(fd);
});

it('a file that a description cannot have is refused before anything is read', async () => {
  makeSparse(0, []);
  execFileSync('truncate', ['--size=1E', join(dir, NAME)]);
  await expect(readContents(dir)).rejects.toThrow(`${NAME} is larger than 8 PiB`);
});

it('holes of kept files are not counted as bytes of a checkpoint', () => {
  makeSparse(TIB, [5 * MIB]);
  writeFileSync(join(dir, 'core-1.img'), 'core');
  expect(imagesBytes(dir)).toBeLessThanOrEqual(2 * MIB + 4);
  expect(imagesBytes(dir)).toBeGreaterThan(4);
});
