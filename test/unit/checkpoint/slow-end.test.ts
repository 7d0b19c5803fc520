// SPDX-License-Identifier: MIT
/** A process that criu has killed, and that takes longer to end than is waited for. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { killTree, readChildren } from '../../../lib/process/index.ts';
import { holdEnd, inNamespace, type HeldEnd } from '../../helpers/held-end.ts';
import { writeCriu } from '../../helpers/scripted-criu.ts';
import { waitUntil } from '../../helpers/wait.ts';

let dir: string;
let unshare: number;
let held: HeldEnd;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-slow-end-'));
  const [program, ...words] = inNamespace;
  unshare = spawn(program, [...words, 'sleep', '1000'], { detached: true, stdio: 'ignore' }).pid ?? 0;
  await waitUntil(() => readChildren(unshare).length > 0);
  held = await holdEnd(unshare);
});
afterEach(async () => {
  await held.release();
  await killTree(unshare);
  rmSync(dir, { recursive: true });
});

it('its images are kept when criu fails afterwards: nothing else is left of it', async () => {
  const imagesDir = join(dir, 'images');
  const criu = writeCriu(dir, `: >${imagesDir}/inventory.img; kill -9 ${held.pid}; exit 1`);
  const dump = checkpoint({
    pid: held.pid,
    imagesDir,
    ...criu,
    env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
  });
  await expect(dump).rejects.toMatchObject({ code: 'ERR_CHECKPOINT_FAILED' });
  expect(existsSync(join(imagesDir, 'inventory.img'))).toBe(true);
});
