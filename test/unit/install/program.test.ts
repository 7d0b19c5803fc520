// SPDX-License-Identifier: MIT
/** The program cuda-checkpoint in a directory of the search path. */
import {
  chmodSync,
  existsSync,
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
import { afterEach, beforeEach, expect, it } from 'vitest';
import { installProgram, uninstallProgram } from '../../../lib/install/index.ts';

let root: string;
let dir: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ccr-program-'));
  dir = join(root, 'bin');
  path = join(dir, 'cuda-checkpoint');
  mkdirSync(dir);
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/** A program with our first line of help, as the build makes it. */
function ours(version: string): string {
  const file = join(root, `ours-${version}`);
  writeFileSync(file, `\x7fELF\0cuda-checkpoint of criu-cuda-toolkit ${version}\n\0`);
  return file;
}

/** A directory with NVIDIA's program. */
function withNvidias(name: string): string {
  const other = join(root, name);
  mkdirSync(other);
  writeFileSync(join(other, 'cuda-checkpoint'), "\x7fELF\0NVIDIA's");
  chmodSync(join(other, 'cuda-checkpoint'), 0o755);
  return other;
}

const install = (version: string, searchPath = '') =>
  installProgram({ dir, source: ours(version), searchPath });

it('is put there, replaced by another version, and removed', async () => {
  expect(await install('1.0.0')).toEqual({
    path,
    version: '1.0.0',
    changed: true,
    isOnPath: false,
    others: [],
  });
  expect(statSync(path).mode & 0o777).toBe(0o755);
  expect(await install('1.0.0')).toMatchObject({ changed: false });
  expect(await install('2.0.0')).toMatchObject({ changed: true, version: '2.0.0' });
  expect(readFileSync(path)).toEqual(readFileSync(ours('2.0.0')));
  expect(await uninstallProgram({ dir })).toEqual({ path, version: '2.0.0' });
  expect(readdirSync(dir)).toEqual([]);
});

it("names NVIDIA's programs before and after it in the search path", async () => {
  const [one, other] = [withNvidias('one'), withNvidias('other')];
  const result = await install('1.0.0', [one, dir, '', other, join(root, 'empty')].join(':'));
  expect(result).toMatchObject({
    isOnPath: true,
    others: [
      { path: join(one, 'cuda-checkpoint'), isFirst: true },
      { path: join(other, 'cuda-checkpoint'), isFirst: false },
    ],
  });
  expect(await install('1.0.0', one)).toMatchObject({ isOnPath: false, others: [{ isFirst: true }] });
});

it.for([
  ["NVIDIA's program", "\x7fELF\0NVIDIA's"],
  ['a script that names ours', '#!/bin/sh\necho cuda-checkpoint of criu-cuda-toolkit 1.0.0\n'],
])('neither replaces nor removes %s', async ([, text]) => {
  writeFileSync(path, text ?? '');
  const refusal = { code: 'ERR_INSTALL_REFUSED', message: expect.stringContaining(path) as string };
  await expect(install('1.0.0')).rejects.toMatchObject(refusal);
  await expect(uninstallProgram({ dir })).rejects.toMatchObject(refusal);
  expect(readFileSync(path, 'utf8')).toBe(text);
  expect(readdirSync(dir)).toEqual(['cuda-checkpoint']);
});

it('does not follow a link, and leaves it', async () => {
  const target = ours('0.9.0');
  symlinkSync(target, path);
  await expect(install('1.0.0')).rejects.toMatchObject({ code: 'ERR_INSTALL_REFUSED' });
  await expect(uninstallProgram({ dir })).rejects.toMatchObject({ code: 'ERR_INSTALL_REFUSED' });
  expect(existsSync(target)).toBe(true);
});

it('names what is missing: the program, the directory', async () => {
  await expect(installProgram({ dir, source: join(root, 'nothing') })).rejects.toMatchObject({
    code: 'ERR_ENVIRONMENT',
    missing: [{ what: join(root, 'nothing'), remedy: 'criu-cuda build' }],
  });
  const missing = join(root, 'no', 'bin');
  await expect(installProgram({ dir: missing, source: ours('1.0.0') })).rejects.toMatchObject({
    code: 'ERR_ENVIRONMENT',
    missing: [{ what: `write access to ${missing}`, remedy: `mkdir -p ${missing}` }],
  });
  await expect(uninstallProgram({ dir })).rejects.toThrow(`there is no ${path}`);
});
