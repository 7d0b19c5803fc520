// SPDX-License-Identifier: MIT
/** The daemon ends, by SIGKILL or SIGTERM, while an operation is in progress. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { prefetchImages, readPoolStatus } from '../../../lib/pool/index.ts';
import { waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';

const libdir = variantDir('full');

let machine: Machine;
let workload: Workload;
let daemon: number;
let before: string;

const snapshot = async (): Promise<string> => `${await workload.verify()} ${await workload.addresses()}`;

beforeEach(async () => {
  machine = new Machine();
  daemon = (await machine.startPool()).pid;
  workload = await machine.start({
    args: ['--alloc', '8Mx3', '--alloc', '2Mx5'],
    env: { LD_PRELOAD: interceptorLibrary() },
  });
  before = await snapshot();
});
afterEach(() => machine.close());

/** A CRIU action script that signals the daemon at one action, and fails if told to. */
function signalAt(action: string, signal: string, exitCode = 0): string[] {
  const script = join(machine.dir, 'signal.sh');
  const lines = ['#!/bin/sh', `[ "$CRTOOLS_SCRIPT_ACTION" = ${action} ] || exit 0`];
  writeFileSync(script, [...lines, `kill -${signal} ${daemon}`, `exit ${exitCode}`, ''].join('\n'), {
    mode: 0o755,
  });
  return ['--action-script', script];
}

describe.each(['KILL', 'TERM'])('SIG%s', (signal) => {
  it.each(['pre-dump', 'post-dump'])('at %s: the dump succeeds and restores', async (action) => {
    const dumped = await machine.dump(workload, { libdir, args: signalAt(action, signal) });
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    const restored = await machine.restore({ libdir });
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(restored.log).toContain('a helper serves this run');
    expect(await snapshot()).toBe(before);
  });

  it('at a post-dump that fails: the process gets its memory back', async () => {
    const dumped = await machine.dump(workload, { libdir, args: signalAt('post-dump', signal, 7) });
    expect(dumped.exitCode).not.toBe(0);
    expect(await snapshot()).toBe(before);
  });

  it.each(['pre-restore', 'setup-namespaces', 'pre-resume', 'post-resume'])(
    'at %s: the restore continues',
    async (action) => {
      expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
      await prefetchImages(machine.imagesDir, { runDir: machine.runDir });
      const restored = await machine.restore({ libdir, args: signalAt(action, signal) });
      expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
      expect(await snapshot()).toBe(before);
    },
  );
});

it.each([2, 5, 8, 11, 14, 17, 20])(
  "at copy %i of a tree's restore: each process has its memory",
  async (nr) => {
    process.kill(daemon, 'SIGTERM');
    await waitForExit(daemon, { timeoutMs: 20_000 });
    await machine.startPool({ SOFTCUDA_FAIL: `cuMemcpyHtoDAsync:${nr}:kill` });
    const members = ['', 'child 0 ', 'child 1 '];
    const tree = await machine.start({
      args: ['--alloc', '2Mx7', '--children', '2'],
      env: { LD_PRELOAD: interceptorLibrary() },
    });
    const ask = (): Promise<string[]> =>
      Promise.all(members.map(async (who) => `${await tree.verify(who)} ${await tree.addresses(who)}`));
    const all = await ask();
    const dumped = await machine.dump(tree, { libdir });
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    const restored = await machine.restore({ libdir });
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(await ask()).toEqual(all);
    await expect(machine.poolStatus()).rejects.toMatchObject({ code: 'ERR_POOL_ABSENT' });
  },
);

it('SIGTERM: the sockets are gone at once, the daemon ends after its last operation', async () => {
  expect((await machine.dump(workload, { libdir, args: signalAt('post-dump', 'TERM') })).exitCode).toBe(0);
  await waitForExit(daemon, { timeoutMs: 20_000 });
  await expect(readPoolStatus({ runDir: machine.runDir })).rejects.toMatchObject({ code: 'ERR_POOL_ABSENT' });
  // The directory is free for another daemon.
  await machine.startPool();
  expect((await machine.restore({ libdir })).exitCode).toBe(0);
  expect(await snapshot()).toBe(before);
});

it('SIGHUP: the budget is read again, and an invalid file changes nothing', async () => {
  const config = join(machine.dir, 'cuda.conf');
  const budget = async (): Promise<number | undefined> => (await machine.poolStatus()).budgetBytes;
  writeFileSync(config, 'CRIU_CUDA_POOL_BUDGET_MB = 3\n');
  process.kill(daemon, 'SIGHUP');
  await expect.poll(budget).toBe(3 << 20);
  writeFileSync(config, 'CRIU_CUDA_POOL_BUDGET_MB = much\n');
  process.kill(daemon, 'SIGHUP');
  expect(await budget()).toBe(3 << 20);
});
