// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeImage, decodeMessage, numberField, numberFields } from '../../../lib/criu/image.ts';
import { ImageError, readDumpStats, readInventory, readPstree } from '../../../lib/criu/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-image-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** `stats-dump` of a `sleep` by CRIU 4.2.1. */
const statsDump = Buffer.from(
  '4059105506330957210000000a1f08c30110af5c18eb0420' + '6c283a300038' + '1f4000480050065806600068007000',
  'hex',
);

describe('readDumpStats', () => {
  it('reads what CRIU wrote', () => {
    writeFileSync(join(dir, 'stats-dump'), statsDump);
    expect(readDumpStats(dir)).toEqual({
      freezingMs: 0.195,
      frozenMs: 11.823,
      memdumpMs: 0.619,
      memwriteMs: 0.108,
      pagesWritten: 31,
      pagesBytes: 31 * 4096,
    });
  });

  it('knows nothing when CRIU wrote none', () => {
    expect(readDumpStats(dir)).toBeUndefined();
    expect(readPstree(dir)).toBeUndefined();
    expect(readInventory(dir)).toBeUndefined();
  });

  it('names the file that is cut off', () => {
    writeFileSync(join(dir, 'stats-dump'), statsDump.subarray(0, -3));
    expect(() => readDumpStats(dir)).toThrow(ImageError);
    expect(() => readDumpStats(dir)).toThrow(/stats-dump: stats image: the last message is cut off/);
  });

  it('refuses a file of another kind', () => {
    writeFileSync(join(dir, 'pstree.img'), statsDump);
    expect(() => readPstree(dir)).toThrow(/pstree.img: no pstree image/);
  });
});

describe('protobuf', () => {
  it('reads numbers of 64 bits', () => {
    expect(
      decodeMessage(Uint8Array.of(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)).get(1),
    ).toEqual([0xffff_ffff_ffff_ffffn]);
  });

  it('skips fields of fixed size and takes the last of equal ones', () => {
    const message = decodeMessage(
      Uint8Array.of(0x0d, 1, 2, 3, 4, 0x10, 5, 0x10, 6, 0x19, 1, 2, 3, 4, 5, 6, 7, 8),
    );
    expect(numberField(message, 2)).toBe(6);
    expect(numberField(message, 7)).toBeUndefined();
  });

  it('reads repeated numbers, packed or not', () => {
    expect(numberFields(decodeMessage(Uint8Array.of(0x28, 7, 0x28, 8)), 5)).toEqual([7, 8]);
    expect(numberFields(decodeMessage(Uint8Array.of(0x2a, 3, 7, 0x80, 0x01)), 5)).toEqual([7, 128]);
  });

  it.each([
    ['a number without end', [0x08, 0x80]],
    ['a number that is too long', [0x08, ...new Array<number>(11).fill(0x80)]],
    ['a field that is too long', [0x0a, 5, 1]],
    ['an unknown wire type', [0x0b]],
  ])('refuses %s', (_, bytes) => {
    expect(() => decodeMessage(Uint8Array.from(bytes))).toThrow(ImageError);
  });

  it('refuses an image that is shorter than its head', () => {
    expect(() => decodeImage(Buffer.alloc(5), 'stats')).toThrow(ImageError);
    expect(decodeImage(statsDump.subarray(0, 8), 'stats')).toEqual([]);
    expect(() => decodeImage(statsDump.subarray(0, 10), 'stats')).toThrow('the last length is cut off');
  });
});
