// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { totalmem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { fileSystemRoom } from '../../../lib/machine/index.ts';
import { checkSpace, ImageCache, spaceProblem } from '../../../lib/registry/cache.ts';

let dir: string;
let isMounted = false;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-room-'));
});
afterEach(async () => {
  if (isMounted) await exec('umount', [dir]);
  isMounted = false;
  rmSync(dir, { recursive: true });
});

it('is what statfs says', () => {
  const { blocks, bavail, bsize } = statfsSync(dir);
  const { totalBytes, freeBytes } = fileSystemRoom(dir);
  expect(totalBytes).toBe(blocks * bsize);
  // others write meanwhile
  expect(Math.abs(freeBytes - bavail * bsize)).toBeLessThan(totalBytes / 2);
});

it('is the memory of the machine where a tmpfs has no limit, also for the cache of images', async (context: TestContext) => {
  const mounted = await execResult('mount', ['-t', 'tmpfs', '-o', 'size=0', 'none', dir]);
  if (mounted.exitCode !== 0) return context.skip(`no tmpfs can be mounted: ${mounted.stderr}`);
  isMounted = true;
  expect(statfsSync(dir).blocks).toBe(0);
  const { totalBytes, freeBytes } = fileSystemRoom(dir);
  expect(totalBytes).toBe(totalmem());
  expect(freeBytes).toBeGreaterThan(0);
  expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  checkSpace('an image', dir, 4096);
  expect(() => {
    checkSpace('an image', dir, 2 * totalBytes);
  }).toThrow('are free');
  const cache = new ImageCache({ cache: join(dir, 'cache') });
  expect(cache.budgetBytes).toBe(totalBytes / 2);
  expect(spaceProblem('an image', cache, 4096, 4096)).toBeUndefined();
});
