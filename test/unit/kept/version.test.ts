// SPDX-License-Identifier: MIT
import { mkdtempSync, readFileSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseElf } from '../../../lib/inspect/index.ts';
import { isBuildId, readBuildId, sampleOf } from '../../../lib/kept/version.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-version-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

function write(name: string, bytes: Buffer | string): string {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
}

describe('the build id', () => {
  const shell = realpathSync('/bin/sh');

  it('is that of the notes', () => {
    const { buildId } = parseElf(readFileSync(shell));
    expect(buildId).toMatch(/^[0-9a-f]{16,}$/);
    expect(readBuildId(shell)).toBe(buildId);
  });

  it('is missing from other files, truncated ones, and where nothing is', () => {
    const cut = write('cut', readFileSync(shell));
    truncateSync(cut, 70);
    for (const path of [write('text', 'text'), write('empty', ''), cut, join(dir, 'nothing'), dir])
      expect(readBuildId(path)).toBeUndefined();
  });

  it('is compared with what CRIU has stored, filled to whole words', () => {
    expect(isBuildId('0102030405', '0102030405000000')).toBe(true);
    expect(isBuildId('0102030405', '0102030405000001')).toBe(false);
    expect(isBuildId('01020304', '0102030400000000')).toBe(false); // another word
    expect(isBuildId(undefined, '01020304')).toBe(false);
  });
});

describe('a sample', () => {
  const MEGABYTE = 1 << 20;

  it('is the same for the same bytes, and another one for others', () => {
    const [one, same, other] = ['a', 'a', 'b'].map((fill, i) =>
      sampleOf(write(String(i), Buffer.alloc(MEGABYTE, fill))),
    );
    expect(one).toMatch(/^[0-9a-f]{32}$/);
    expect(same).toBe(one);
    expect(other).not.toBe(one);
  });

  it.each([0, MEGABYTE / 2, MEGABYTE - 1])('sees what is different at byte %i', (at) => {
    const bytes = Buffer.alloc(MEGABYTE);
    const before = sampleOf(write('file', bytes));
    bytes.fill(1, at, Math.min(at + MEGABYTE / 2, MEGABYTE));
    expect(sampleOf(write('file', bytes))).not.toBe(before);
  });

  it('covers all of a short file, and knows sizes', () => {
    expect(sampleOf(write('file', 'text'))).not.toBe(sampleOf(write('file', 'texT')));
    expect(sampleOf(write('file', Buffer.alloc(3 * MEGABYTE)))).not.toBe(
      sampleOf(write('file', Buffer.alloc(2 * MEGABYTE))),
    );
    expect(sampleOf(join(dir, 'nothing'))).toBeUndefined();
  });
});
