// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { artifactDir, buildDir, interceptorLibrary, prebuiltDir } from '../../lib/paths.ts';
import { variantPlugin } from '../../lib/variant.ts';

it('the C artifacts are where they were built, where a variable says, or next to the prebuilt addon', () => {
  expect(artifactDir({ PREBUILDS_ONLY: '1' })).toBe(prebuiltDir);
  expect(artifactDir({ PREBUILDS_ONLY: '1', CRIU_CUDA_BUILD_DIR: '/b' })).toBe('/b');
  expect(artifactDir({ PREBUILDS_ONLY: '' })).toBe(buildDir({}));
  expect(variantPlugin('full', { CRIU_CUDA_BUILD_DIR: '/b' })).toBe('/b/lib/full/cuda_plugin.so');
});

it('the interceptor is the build that the link names, or the youngest one', () => {
  const root = mkdtempSync(join(tmpdir(), 'criu-cuda-paths-'));
  const env = { CRIU_CUDA_BUILD_DIR: root };
  const dir = join(root, 'lib', 'intercept');
  const plain = join(dir, 'libcuda_intercept.so');
  const build = (digit: string) => `libcuda_intercept-${digit.repeat(16)}.so`;
  try {
    expect(interceptorLibrary(env)).toBe(plain);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, build('a')), '');
    writeFileSync(join(dir, build('b')), '');
    writeFileSync(join(dir, 'libcuda_intercept-note.so'), '');
    utimesSync(join(dir, build('b')), 1000, 1000);
    expect(interceptorLibrary(env)).toBe(join(dir, build('a')));
    symlinkSync(build('b'), plain);
    expect(interceptorLibrary(env)).toBe(join(dir, build('b')));
  } finally {
    rmSync(root, { recursive: true });
  }
});
