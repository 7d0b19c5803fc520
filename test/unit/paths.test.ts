// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { artifactDir, buildDir, prebuiltDir } from '../../lib/paths.ts';
import { variantPlugin } from '../../lib/variant.ts';

it('the C artifacts are where they were built, where a variable says, or next to the prebuilt addon', () => {
  expect(artifactDir({ PREBUILDS_ONLY: '1' })).toBe(prebuiltDir);
  expect(artifactDir({ PREBUILDS_ONLY: '1', CRIU_CUDA_BUILD_DIR: '/b' })).toBe('/b');
  expect(artifactDir({ PREBUILDS_ONLY: '' })).toBe(buildDir({}));
  expect(variantPlugin('full', { CRIU_CUDA_BUILD_DIR: '/b' })).toBe('/b/lib/full/cuda_plugin.so');
});
