// SPDX-License-Identifier: MIT
/** The room that a dump takes before criu starts. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import {
  prepareImagesDir,
  releaseRoom,
  reserveRoom,
  rollBackImages,
} from '../../../lib/checkpoint/images-dir.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { startSleeping } from '../../helpers/sleeping.ts';

const name = 'criu-cuda-reserved.img';

let dir: string;
let other: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-images-dir-'));
  other = join(mkdtempSync(join(tmpdir(), 'criu-cuda-other-')), 'file');
  writeFileSync(other, 'untouched');
});
afterEach(() => {
  for (const path of [dir, join(other, '..')]) rmSync(path, { recursive: true });
});

it('is taken also where files are compressed, and is given back', () => {
  reserveRoom(dir);
  const taken = readFileSync(join(dir, name));
  expect(gzipSync(taken).length).toBeGreaterThanOrEqual(1024 * 1024);
  releaseRoom(dir);
  releaseRoom(dir);
  expect(readdirSync(dir)).toEqual([]);
});

it('is removed with the images of a dump that fails', () => {
  prepareImagesDir(dir, false);
  reserveRoom(dir);
  rollBackImages(dir);
  expect(readdirSync(dir)).toEqual([]);
});

it('is taken through no link of another user', async () => {
  symlinkSync(other, join(dir, name));
  expect(() => {
    reserveRoom(dir);
  }).toThrow(expect.objectContaining({ code: 'ERR_CHECKPOINT_IMAGES_DIR' }) as Error);
  const sleeping = await startSleeping();
  try {
    const { pid, options } = sleeping;
    await expect(checkpoint({ ...options, pid, imagesDir: dir })).rejects.toThrow(
      `${dir} is not empty: it holds ${name}`,
    );
    expect(isAlive(pid)).toBe(true);
  } finally {
    await sleeping.remove();
  }
  expect(readFileSync(other, 'utf8')).toBe('untouched');
});
