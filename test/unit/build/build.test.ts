// SPDX-License-Identifier: MIT
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { buildPlugins, sanitizedBuildDir } from '../../../lib/build/index.ts';

describe('build', () => {
  it('refuses a source tree that is not CRIU before anything is built', async () => {
    await expect(buildPlugins({ criuSrc: tmpdir() })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: `--criu-src ${tmpdir()} has no criu/include/criu-plugin.h`,
    });
  });

  it('names what is missing on a machine without cmake', async () => {
    const env = { PATH: '/nowhere', CRIU_CUDA_BUILD_DIR: '/nowhere/build' };
    await expect(buildPlugins({ env })).rejects.toMatchObject({
      message: expect.stringContaining('cannot build the C parts') as string,
      missing: [{ what: 'cmake' }],
    });
  });

  it('keeps sanitized builds in their own directories', () => {
    const env = { CRIU_CUDA_BUILD_DIR: '/b' };
    expect(sanitizedBuildDir('address,undefined', env)).toBe('/b-address-undefined');
  });
});
