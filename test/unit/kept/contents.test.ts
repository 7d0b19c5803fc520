// SPDX-License-Identifier: MIT
import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copyContents, hasContents } from '../../../lib/kept/contents.ts';

let dir: string;
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'ccr-contents-')));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

const at = (name: string): string => join(dir, name);

describe('copyContents', () => {
  it('copies bytes and nothing else: a set-user-id program becomes a file of the owner', () => {
    const bytes = Buffer.alloc((2 << 20) + 7, 'contents');
    writeFileSync(at('program'), bytes);
    chmodSync(at('program'), 0o6755);
    copyContents(at('program'), statSync(at('program')), at('copy'));
    expect(statSync(at('copy')).mode & 0o7777).toBe(0o600);
    expect(readFileSync(at('copy')).equals(bytes)).toBe(true);
  });

  it('does not follow a link that took the place of the file', () => {
    writeFileSync(at('secret'), 'secret');
    writeFileSync(at('file'), 'file');
    const listed = statSync(at('file'));
    rmSync(at('file'));
    symlinkSync(at('secret'), at('file'));
    expect(() => {
      copyContents(at('file'), listed, at('copy'));
    }).toThrow(/ELOOP/);
  });

  it('does not copy another file that took its place', () => {
    writeFileSync(at('file'), 'file');
    const { dev, ino } = statSync(at('file'));
    expect(() => {
      copyContents(at('file'), { dev, ino: ino + 1 }, at('copy'));
    }).toThrow(/is another file now/);
  });
});

it.each([
  ['same', 'same', true, true],
  ['same and more', 'same', false, true],
  ['same and more', 'same', true, false],
  ['some', 'same', false, false],
  ['sa', 'same', false, false],
  ['', '', true, true],
])('hasContents of %j, kept %j, whole: %j', (now, kept, whole, result) => {
  writeFileSync(at('now'), now);
  writeFileSync(at('kept'), kept);
  expect(hasContents(at('now'), at('kept'), whole)).toBe(result);
});
