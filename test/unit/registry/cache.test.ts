// SPDX-License-Identifier: MIT
// What leaves the cache when there is no room.
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ImageCache } from '../../../lib/registry/cache.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

it.each([
  [800, false],
  [1001, true],
])('for %i bytes of a budget of 1000, an old blob stays: %s', (needed, stays) => {
  const cache = new ImageCache({ cache: dir, cacheBudget: 1000 });
  const path = cache.blobPath(`sha256:${'0'.repeat(64)}`);
  writeFileSync(path, Buffer.alloc(500));
  utimesSync(path, 1, 1);
  const make = (): void => {
    cache.makeRoom('it', needed, []);
  };
  if (stays) expect(make).toThrow('of its budget');
  else make();
  expect(existsSync(path)).toBe(stays);
});
