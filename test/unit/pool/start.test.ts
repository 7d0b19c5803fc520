// SPDX-License-Identifier: MIT
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { driverRemedy } from '../../../lib/gpu/index.ts';
import { startPool } from '../../../lib/pool/index.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-pool-start-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A daemon that ends at once. */
async function start(says: string): Promise<unknown> {
  const program = join(dir, 'cuda-poold');
  writeFileSync(program, `#!/bin/sh\necho "cuda-poold[7]: error: ${says}" >&2\nexit 1\n`, { mode: 0o755 });
  return startPool({ program, runDir: join(dir, 'run') }).catch((error: unknown) => error);
}

it('names the software driver where the daemon finds no driver', async () => {
  expect(await start('no libcuda.so.1 found; install the NVIDIA driver')).toMatchObject({
    code: 'ERR_POOL',
    message: 'cannot start cuda-poold: no libcuda.so.1 found',
    hint: driverRemedy(),
  });
});

it('otherwise says what is in the log of the daemon', async () => {
  expect(await start('no space left')).toMatchObject({
    message: 'cannot start cuda-poold: cuda-poold[7]: error: no space left',
    hint: undefined,
  });
});
