// SPDX-License-Identifier: MIT
/** Two restores of one checkpoint that one program makes at the same time, with real CRIU. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { isAlive, killTree } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';

let dir: string;
let pid: number;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-at-once-'));
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', cwd: dir });
  await once(child, 'spawn');
  pid = child.pid ?? 0;
});
afterEach(async () => {
  await killTree(pid);
  rmSync(dir, { recursive: true, force: true });
});

it('one is refused, and does not end what the other has restored', async () => {
  const options = {
    criu: criuProgram(),
    imagesDir: join(dir, 'images'),
    env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
  };
  await checkpoint({ ...options, pid });
  const done = await Promise.allSettled([1, 2].map(() => restore(options)));
  expect(done.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(done.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'ERR_RESTORE_PID_TAKEN' },
  });
  expect(isAlive(pid)).toBe(true);
});
