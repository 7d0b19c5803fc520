// SPDX-License-Identifier: MIT
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isSoftwareDriver, softwareDriverVariables, usesSoftwareDriver } from '../../../lib/gpu/index.ts';
import { softcudaLibrary } from '../../../lib/paths.ts';

describe('the software driver is known by what it is', () => {
  let dir: string;
  let copy: string;
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'software-driver-'));
    copy = join(dir, 'libcuda.so.1');
    copyFileSync(softcudaLibrary(), copy);
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  it('wherever it lies, by any path to it', () => {
    symlinkSync(copy, join(dir, 'libcuda.so'));
    expect([softcudaLibrary(), copy, join(dir, 'libcuda.so')].map(isSoftwareDriver)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('and no other library is taken for it', () => {
    writeFileSync(join(dir, 'empty.so'), '');
    expect(
      ['', join(dir, 'absent.so'), join(dir, 'empty.so'), process.execPath].map(isSoftwareDriver),
    ).toEqual([false, false, false, false]);
  });

  it('named by the environment or by the settings file', async () => {
    writeFileSync(join(dir, 'cuda.conf'), `CRIU_CUDA_DRIVER = ${copy}\n`);
    expect(await usesSoftwareDriver({ CRIU_CUDA_DRIVER: copy })).toBe(true);
    expect(await usesSoftwareDriver({ CRIU_CUDA_CONFIG: join(dir, 'cuda.conf') })).toBe(true);
    expect(await usesSoftwareDriver({ CRIU_CUDA_DRIVER: process.execPath })).toBe(false);
  });

  it('and programs get the one that is named', async () => {
    expect(await softwareDriverVariables({ CRIU_CUDA_DRIVER: copy })).toEqual({
      CRIU_CUDA_DRIVER: copy,
      LD_LIBRARY_PATH: dir,
    });
  });
});
