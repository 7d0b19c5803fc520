// SPDX-License-Identifier: MIT
/** Changes of `files.img`: only what may change is decoded, and readers see what was changed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FileEntrySchema } from '../../../lib/criu/gen/images_pb.ts';
import { appendToImage, imageMagic, readImage } from '../../../lib/criu/image.ts';
import {
  changeFiles,
  filesImage,
  readFiles,
  readFilesAhead,
  readFilesOf,
} from '../../../lib/criu/open/files-image.ts';

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

describe('files of some types', () => {
  const pipe = { id: 7, type: 2, pipe: { id: 7, pipeId: 70, flags: 1, fown: new Uint8Array() } };
  const socket = { id: 8, type: 5, usk: { ino: 80, type: 1, uflags: 0, peer: 0 } };

  it('are found among others, in their order', () => {
    appendToImage(filesImage(dir), FileEntrySchema, [pipe, socket, { ...pipe, id: 9 }]);
    expect(readFilesOf(dir, 'pipe').map(({ id }) => id)).toEqual([7, 9]);
    expect(readFilesOf(dir, 'unixSocket', 'pipe').map(({ id }) => id)).toEqual([7, 8, 9]);
    expect(readFilesOf(dir, 'terminal')).toEqual([]);
  });

  it('are the same whether or not all files have been read', () => {
    appendToImage(filesImage(dir), FileEntrySchema, [pipe, socket]);
    const before = readFilesOf(dir, 'pipe');
    const all = readFiles(dir) ?? [];
    expect(all).toHaveLength(5);
    expect(readFilesOf(dir, 'pipe')).toEqual(before);
    expect(readFilesOf(dir, 'unixSocket')).toEqual(all.filter(({ type }) => type === 5));
  });

  it('are those of the image as it was changed', () => {
    appendToImage(filesImage(dir), FileEntrySchema, [pipe]);
    expect(readFilesOf(dir, 'pipe').map(({ pipe: one }) => one?.flags)).toEqual([1]);
    changeFiles(
      dir,
      ({ type }) => type === 2,
      (file) => {
        if (file.pipe) file.pipe.flags = 2;
        return true;
      },
    );
    expect(readFilesOf(dir, 'pipe').map(({ pipe: one }) => one?.flags)).toEqual([2]);
  });

  it('need no other file to be decoded, however many there are', () => {
    appendToImage(filesImage(dir), FileEntrySchema, [pipe]);
    const bytes = readFileSync(filesImage(dir));
    bytes[8 + 4 + 4] = 0xff; // in the first message, behind its type and id
    writeFileSync(filesImage(dir), bytes);
    expect(readFilesOf(dir, 'pipe').map(({ id }) => id)).toEqual([7]);
    expect(() => readFiles(dir)).toThrow(filesImage(dir));
  });

  it('are none where there is no image', () => {
    rmSync(filesImage(dir));
    expect(readFilesOf(dir, 'pipe')).toEqual([]);
  });
});

describe('an image that CRIU is still writing', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Writes the image in two parts, and looks at it in between. @returns the files of the first look at all of it */
  function writtenIn(bytes: Buffer, first: number): ReturnType<typeof readFiles> {
    writeFileSync(filesImage(dir), bytes.subarray(0, first));
    const stop = readFilesAhead(dir);
    vi.runOnlyPendingTimers();
    writeFileSync(filesImage(dir), bytes);
    stop();
    expect(vi.getTimerCount()).toBe(0);
    return readFiles(dir);
  }

  it('is decoded as far as it is written, and that part is not decoded again', () => {
    const bytes = readFileSync(filesImage(dir));
    for (const first of Array(bytes.length).keys()) {
      const files = writtenIn(bytes, first);
      expect(files?.map(({ id }) => id)).toEqual([1, 2, 3]);
      appendToImage(filesImage(dir), FileEntrySchema, [{ id: 4, type: 1 }]);
      const more = readFiles(dir) ?? [];
      expect(more.map(({ id }) => id)).toEqual([1, 2, 3, 4]);
      if (first === bytes.length - 1) expect(more[1]).toBe(files?.[1]);
    }
  });

  it('counts for nothing when another one takes its place', () => {
    const bytes = readFileSync(filesImage(dir));
    writtenIn(bytes, bytes.length - 1);
    bytes[8 + 4 + 3] = 9; // the id of the first
    writeFileSync(filesImage(dir), bytes);
    expect(readFiles(dir)?.map(({ id }) => id)).toEqual([9, 2, 3]);
  });

  it('may be missing, or damaged', () => {
    const bytes = readFileSync(filesImage(dir));
    rmSync(filesImage(dir));
    const stop = readFilesAhead(dir);
    vi.runOnlyPendingTimers();
    bytes[8 + 4 + 4] = 0xff; // behind the type and the id of the first
    writeFileSync(filesImage(dir), bytes);
    vi.runOnlyPendingTimers();
    stop();
    expect(() => readFiles(dir)).toThrow(filesImage(dir));
  });
});
