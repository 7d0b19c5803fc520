// SPDX-License-Identifier: MIT
/** Changes of `files.img`: only what may change is decoded, and readers see what was changed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FileEntrySchema } from '../../../lib/criu/gen/images_pb.ts';
import { appendToImage, imageMagic, readImage } from '../../../lib/criu/image.ts';
import { changeFiles, filesImage, readFiles } from '../../../lib/criu/open/files-image.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-files-'));
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(imageMagic.files, 4);
  writeFileSync(filesImage(dir), head);
  appendToImage(
    filesImage(dir),
    FileEntrySchema,
    [1, 2, 3].map((id) => ({ id, type: 1, reg: { id, name: `/file-${id}`, flags: 0, buildId: [] } })),
  );
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

it('gives only those to the change that may change', () => {
  const given: unknown[] = [];
  changeFiles(
    dir,
    ({ id }) => id !== 2,
    (file) => {
      given.push(file.id);
      if (file.id !== 3 || !file.reg) return false;
      file.reg.name = '/changed';
      return true;
    },
  );
  expect(given).toEqual([1, 3]);
  const names = ['/file-1', '/file-2', '/changed'];
  expect(readImage(filesImage(dir), 'files', FileEntrySchema)?.map(({ reg }) => reg?.name)).toEqual(names);
  expect(readFiles(dir)?.map(({ reg }) => reg?.name)).toEqual(names);
});

it('leaves the image as it is when nothing changes', () => {
  const before = readFileSync(filesImage(dir));
  changeFiles(
    dir,
    () => true,
    () => false,
  );
  expect(readFileSync(filesImage(dir)).equals(before)).toBe(true);
});
