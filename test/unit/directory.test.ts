// SPDX-License-Identifier: MIT
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import {
  checkWritable,
  makeDirectory,
  makeTemporaryDirectory,
  removeTemporaryDirectory,
  replaceFile,
} from '../../lib/directory.ts';
import { execResult } from '../../lib/exec.ts';
import { projectRoot } from '../../lib/paths.ts';

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

it('replaces a file, and writes through no link that another user has put there', () => {
  const [path, other] = [join(dir, 'image.img'), join(dir, 'other')];
  writeFileSync(other, 'untouched');
  symlinkSync(other, join(dir, 'criu-cuda-new.img'));
  replaceFile(path, 'first');
  symlinkSync(other, join(dir, 'criu-cuda-new.img'));
  replaceFile(path, 'second');
  expect(readFileSync(path, 'utf8')).toBe('second');
  expect(readFileSync(other, 'utf8')).toBe('untouched');
  expect(readdirSync(dir).sort()).toEqual(['image.img', 'other']);
});

it('removes temporary directories with all that is in them, at the end of the process, too', async () => {
  const made = makeTemporaryDirectory('some-', dir);
  mkdirSync(join(made, 'inner'));
  removeTemporaryDirectory(made);
  const module = JSON.stringify(join(projectRoot, 'lib', 'directory.ts'));
  const program = `
    const { makeTemporaryDirectory } = await import(${module});
    makeTemporaryDirectory('other-', ${JSON.stringify(dir)});
    process.exit(3);`;
  const words = [
    '--import',
    join(projectRoot, 'scripts', 'typescript.mjs'),
    '--input-type=module',
    '--eval',
    program,
  ];
  const { exitCode, stderr } = await execResult(process.execPath, words);
  expect(exitCode, stderr).toBe(3);
  expect(readdirSync(dir)).toEqual([]);
});

it('says what to do without a directory for temporary files', () => {
  vi.stubEnv('TMPDIR', join(dir, 'missing'));
  expect(() => makeTemporaryDirectory('some-')).toThrow(
    expect.objectContaining({
      code: 'ERR_ENVIRONMENT',
      message: `cannot create a directory in ${dir}/missing: no such file or directory`,
      hint: 'free space there, or set TMPDIR to a directory that is there',
    }) as Error,
  );
  vi.unstubAllEnvs();
});
