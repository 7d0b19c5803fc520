// SPDX-License-Identifier: MIT
/** What is done while criu waits for its action script, which these tests call in its place. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { actWhileStopped, type WhileStopped } from '../../../lib/checkpoint/while-stopped.ts';
import { exec, execResult } from '../../../lib/exec.ts';

let temporary: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'criu-cuda-while-stopped-'));
  vi.stubEnv('TMPDIR', temporary);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(temporary, { recursive: true });
});

const env = { CRTOOLS_SCRIPT_ACTION: 'post-dump' };

async function begin(act: (signal: AbortSignal) => Promise<void>): Promise<WhileStopped> {
  const stopped = await actWhileStopped(act);
  if (!stopped) throw new Error('scripts cannot be executed');
  return stopped;
}

/** Calls the script. @returns its exit code */
const call = async ({ script }: WhileStopped): Promise<number> =>
  (await execResult(script, [], { env })).exitCode;

it('criu continues when it is done, and fails when it fails', async () => {
  const works = await begin(() => Promise.resolve());
  expect(works.gracePeriod()).toBe(0);
  expect(await call(works)).toBe(0);
  await works.close();
  const fails = await begin(() => Promise.reject(new Error('no')));
  expect(await call(fails)).not.toBe(0);
  await fails.close();
  expect(readdirSync(temporary)).toEqual([]);
});

it('needs no room at the end', async () => {
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=1m,nr_inodes=5', 'criu-cuda-test', temporary]);
  try {
    for (const [act, exitCode] of [
      [() => Promise.resolve(), 0],
      [() => Promise.reject(new Error('no')), 1],
    ] as const) {
      const stopped = await begin(act);
      expect(await call(stopped)).toBe(exitCode);
      await stopped.close();
    }
  } finally {
    await exec('umount', [temporary]);
  }
});

it('a criu that has called the script is not ended, but undoes the dump, also before this process has noticed', async () => {
  const act = vi.fn(() => Promise.resolve());
  const stopped = await begin(act);
  const child = spawn(stopped.script, { env: { ...process.env, ...env }, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  // nothing else of this process runs meanwhile
  while (!existsSync(join(dirname(stopped.script), 'reached'))) continue;
  expect(stopped.gracePeriod()).toBeGreaterThan(0);
  expect(await ended).toBe(1);
  expect(act).not.toHaveBeenCalled();
  await stopped.close();
});

it('what is done is told that the dump ends, and does not count as done', async () => {
  const seen: unknown[] = [];
  const stopped = await begin((signal) => {
    seen.push(signal.aborted, stopped.gracePeriod() > 0, signal.aborted);
    return Promise.resolve();
  });
  expect(await call(stopped)).toBe(1);
  expect(seen).toEqual([false, true, true]);
  await stopped.close();
});
