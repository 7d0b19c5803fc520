// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkWritable, makeDirectory } from '../../lib/directory.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-directory-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

it('creates what is missing with the given mode, and leaves the rest unchanged', () => {
  makeDirectory(join(dir, 'a', 'b'), 0o700);
  makeDirectory(join(dir, 'a', 'b'));
  for (const path of ['a', 'a/b']) expect(statSync(join(dir, path)).mode & 0o777).toBe(0o700);
});

it('names what is in the way', () => {
  writeFileSync(join(dir, 'file'), '');
  expect(() => {
    makeDirectory(join(dir, 'file', 'a', 'b'));
  }).toThrow(`${dir}/file is not a directory`);
  expect(() => {
    makeDirectory('/proc/none/of/this');
  }).toThrow('cannot create /proc/none');
});

it('says why a directory cannot be written to', () => {
  checkWritable(dir);
  const write = (): void => {
    checkWritable(join(dir, 'missing'), 'name another directory');
  };
  expect(write).toThrow(`${dir}/missing does not exist`);
  expect(write).toThrow(expect.objectContaining({ hint: 'name another directory' }) as Error);
});
