// SPDX-License-Identifier: MIT
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPause } from '../../../lib/abortable.ts';
import {
  copyContents,
  createEntry,
  hasContents,
  linkEntry,
  writeContents,
} from '../../../lib/kept/contents.ts';

const pause = createPause(undefined);

let dir: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-contents-')));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const at = (name: string): string => join(dir, name);

describe('copyContents', () => {
  it('copies bytes and nothing else: a set-user-id program becomes a file of the owner', async () => {
    const bytes = Buffer.alloc((2 << 20) + 7, 'contents');
    writeFileSync(at('program'), bytes);
    chmodSync(at('program'), 0o6755);
    await copyContents(at('program'), statSync(at('program')), at('copy'), pause);
    expect(statSync(at('copy')).mode & 0o7777).toBe(0o600);
    expect(readFileSync(at('copy')).equals(bytes)).toBe(true);
  });

  it('does not follow a link that took the place of the file', async () => {
    writeFileSync(at('secret'), 'secret');
    writeFileSync(at('file'), 'file');
    const listed = statSync(at('file'));
    rmSync(at('file'));
    symlinkSync(at('secret'), at('file'));
    await expect(copyContents(at('file'), listed, at('copy'), pause)).rejects.toThrow(/ELOOP/);
  });

  it('does not copy another file that took its place', async () => {
    writeFileSync(at('file'), 'file');
    const { dev, ino, size } = statSync(at('file'));
    await expect(copyContents(at('file'), { dev, ino: ino + 1, size }, at('copy'), pause)).rejects.toThrow(
      /is another file now/,
    );
  });

  it('copies what was listed of a file that others let grow, and not one that has become shorter', async () => {
    writeFileSync(at('file'), 'listed');
    const listed = statSync(at('file'));
    truncateSync(at('file'), 2 ** 40);
    await copyContents(at('file'), listed, at('copy'), pause);
    expect(readFileSync(at('copy'), 'utf8')).toBe('listed');
    truncateSync(at('file'), 3);
    await expect(copyContents(at('file'), listed, at('shorter'), pause)).rejects.toThrow(
      /has 3 bytes now, and had 6/,
    );
  });

  it('leaves holes where nothing is: a file may have a large one for nothing', async () => {
    writeFileSync(at('file'), Buffer.alloc((1 << 20) + 3, 'data'));
    truncateSync(at('file'), 48 << 20);
    await copyContents(at('file'), statSync(at('file')), at('copy'), pause);
    expect(statSync(at('copy')).blocks * 512).toBeLessThan(4 << 20);
    expect(readFileSync(at('copy')).equals(readFileSync(at('file')))).toBe(true);
  });
});

it.each([
  ['same', 'same', true, true],
  ['same and more', 'same', false, true],
  ['same and more', 'same', true, false],
  ['some', 'same', false, false],
  ['sa', 'same', false, false],
  ['', '', true, true],
])('hasContents of %j, kept %j, whole: %j', async (now, kept, whole, result) => {
  writeFileSync(at('now'), now);
  writeFileSync(at('kept'), kept);
  expect(await hasContents(at('now'), at('kept'), whole, pause)).toBe(result);
});

/** `text` behind a hole of 8 MiB, in a file of 16 MiB. */
function sparse(name: string, text: string): string {
  const fd = openSync(at(name), 'w');
  writeSync(fd, text, 8 << 20);
  ftruncateSync(fd, 16 << 20);
  closeSync(fd);
  return at(name);
}

it('hasContents compares bytes, whether zeroes are holes or not', async () => {
  const kept = sparse('kept', 'text');
  writeFileSync(at('now'), readFileSync(kept));
  expect(await hasContents(at('now'), kept, true, pause)).toBe(true);
  expect(await hasContents(kept, at('now'), true, pause)).toBe(true);
  expect(await hasContents(sparse('other', 'next'), kept, true, pause)).toBe(false);
  const fd = openSync(at('now'), 'r+');
  writeSync(fd, 'x', 1 << 20); // where the kept one has a hole
  closeSync(fd);
  expect(await hasContents(at('now'), kept, true, pause)).toBe(false);
});

it('writeContents leaves nothing where the kept file has a hole', async () => {
  const kept = sparse('kept', 'text');
  writeFileSync(at('now'), Buffer.alloc(20 << 20, 'changed'));
  const { ino } = statSync(at('now'));
  await writeContents(at('now'), kept, pause);
  expect(readFileSync(at('now')).equals(readFileSync(kept))).toBe(true);
  expect(statSync(at('now'))).toMatchObject({ ino, size: 16 << 20 });
});

describe('a directory that somebody replaces by a link after the comparison', () => {
  const meta = { size: 4, mode: 0o600, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const more = { mtimeMs: 1000, access: 'write', isMemory: true } as const;
  beforeEach(() => {
    mkdirSync(at('elsewhere'));
    symlinkSync(at('elsewhere'), at('dir'));
    writeFileSync(at('kept'), 'text');
  });
  afterEach(() => {
    expect(readdirSync(at('elsewhere'))).toEqual([]);
  });

  it.each(['file', 'directory', 'fifo'] as const)('does not lead a %s elsewhere', async (kind) => {
    for (const name of ['dir/entry', 'dir/new/entry']) {
      const file = { paths: [at(name)], kind, ...meta, ...more };
      await expect(createEntry(dir, at(name), file, pause)).rejects.toThrow(/ELOOP|ENOTDIR|somewhere else/);
    }
  });

  it('does not lead a link elsewhere', async () => {
    await expect(linkEntry(at('kept'), at('dir/entry'))).rejects.toThrow(/ELOOP|ENOTDIR/);
  });
});

it.each(['file', 'directory', 'fifo'] as const)(
  'createEntry makes a %s, and what is above it',
  async (kind) => {
    const path = at('a/b/entry');
    const { uid, gid } = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    const file = {
      ...{ paths: [path], kind, size: 0, mode: 0o640, uid, gid },
      ...{ mtimeMs: 1000, access: 'write' as const, isMemory: true },
    } as const;
    await createEntry(dir, path, file, pause);
    const stat = statSync(path);
    expect({ file: stat.isFile(), directory: stat.isDirectory(), fifo: stat.isFIFO() }[kind]).toBe(true);
    expect(stat.mode & 0o7777).toBe(0o640);
  },
);
