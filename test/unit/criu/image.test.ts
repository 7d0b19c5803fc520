// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileEntrySchema, StatsEntrySchema } from '../../../lib/criu/gen/images_pb.ts';
import { changeMessages, decodeImage } from '../../../lib/criu/image.ts';
import { CriuImageError, readDumpStats, readInventory, readPstree } from '../../../lib/criu/index.ts';

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

/** `pstree.img` of a process and its child, a zombie, by CRIU 4.2.1. */
const pstreeOfZombie = Buffer.from(
  '19435654303027500e00000008b366100018b36620b36628b3661200000008f86610b36618b36620b36628b086f4db0b',
  'hex',
);

/** With a tag that has a wire type that does not exist. */
function damaged(image: Buffer): Buffer {
  const bytes = Buffer.from(image);
  bytes[12] = 0x7f;
  return bytes;
}

describe('readPstree', () => {
  it('gives a zombie the thread that has its pid, and not what CRIU has written', () => {
    writeFileSync(join(dir, 'pstree.img'), pstreeOfZombie);
    const group = { processGroup: 13_107, session: 13_107 };
    expect(readPstree(dir)).toEqual([
      { pid: 13_107, ppid: 0, threads: [13_107], ...group },
      { pid: 13_176, ppid: 13_107, threads: [13_176], ...group },
    ]);
  });
});

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

  it('returns undefined when CRIU wrote none', () => {
    expect(readDumpStats(dir)).toBeUndefined();
    expect(readPstree(dir)).toBeUndefined();
    expect(readInventory(dir)).toBeUndefined();
  });

  it.each([
    ['cut short', statsDump.subarray(0, -3)],
    ['empty, as on a full disk', Buffer.alloc(0)],
    ['damaged', damaged(statsDump)],
  ])('returns undefined for one that is %s: the run has succeeded', (_, bytes) => {
    writeFileSync(join(dir, 'stats-dump'), bytes);
    expect(readDumpStats(dir)).toBeUndefined();
  });
});

describe('an image', () => {
  it.each([
    ['truncated', pstreeOfZombie.subarray(0, -3), /pstree.img: pstree image: truncated in a message/],
    ['damaged', damaged(pstreeOfZombie), /pstree.img: .*wire type 7/],
  ])('is named when it is %s', (_, bytes, message) => {
    writeFileSync(join(dir, 'pstree.img'), bytes);
    expect(() => readPstree(dir)).toThrow(CriuImageError);
    expect(() => readPstree(dir)).toThrow(message);
  });

  it('refuses a file of another kind', () => {
    writeFileSync(join(dir, 'pstree.img'), statsDump);
    expect(() => readPstree(dir)).toThrow(/pstree.img: not a CRIU pstree image/);
  });
});

describe('decodeImage', () => {
  it('refuses an image that is shorter than its header', () => {
    expect(() => decodeImage(Buffer.alloc(5), 'stats', StatsEntrySchema)).toThrow(CriuImageError);
    expect(decodeImage(statsDump.subarray(0, 8), 'stats', StatsEntrySchema)).toEqual([]);
    expect(() => decodeImage(statsDump.subarray(0, 10), 'stats', StatsEntrySchema)).toThrow(
      'truncated in the length of a message',
    );
  });
});

describe('changeMessages', () => {
  /** Field 1 is the type, field 2 the id, field 99 is one that the schema does not have. */
  const entry = (id: number): Buffer => Buffer.from([0x08, 4, 0x10, id, 0x98, 0x06, 7]);
  const withLengths = (messages: Buffer[]): Buffer =>
    Buffer.concat(messages.flatMap((one) => [Buffer.from([one.length, 0, 0, 0]), one]));
  const head = Buffer.from('19435654' + '38313056', 'hex');
  const image = Buffer.concat([head, withLengths([entry(1), entry(2)])]);

  it('keeps every byte of what is not changed', () => {
    expect(changeMessages(image, 'files', FileEntrySchema, () => false)).toEqual(image);
  });

  it('changes one message, and keeps fields that it does not know', () => {
    const changed = changeMessages(image, 'files', FileEntrySchema, (file) => {
      if (file.id !== 2) return false;
      file.id = 3;
      return true;
    });
    expect(changed).toEqual(Buffer.concat([head, withLengths([entry(1), entry(3)])]));
  });
});
