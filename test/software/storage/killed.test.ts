// SPDX-License-Identifier: MIT
/**
 * Custom storage, and a process is killed at a step of the pool: criu, or the pool in a restore (for the pool in a dump,
 * see `dump-failures.test.ts`). The program runs on with the same bytes, or comes back with them.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let workload: Workload;
let before: string;

beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', CRIU_CUDA_STORAGE: 'driver' });
  workload = await machine.start();
  before = await snapshot(workload);
});
afterEach(() => machine.close());

/** Kills criu when the pool comes to a step. @returns the environment of criu */
const criuKilledWhen = (step: string): Promise<Record<string, string>> =>
  faultPoint(machine.dir, `pool:${step}`, async () => {
    const criu = machine.readStatus().find(({ event }) => event === 'begin')?.criu ?? 0;
    expect(criu).toBeGreaterThan(1);
    process.kill(criu, 'SIGKILL');
    await waitUntil(() => !isAlive(criu));
  });

async function dump(): Promise<void> {
  const dumped = await machine.tryDump(workload);
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
}

async function expectRestored(env: Record<string, string> = {}): Promise<void> {
  const restored = await machine.tryRestore({ env });
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
}

describe('criu is killed in a dump when the pool', () => {
  it.each([
    ['begins', 'status:1:ask:"event":"pool"'],
    ['writes the first bytes of the image', 'image:1:ask:'],
    ['writes the manifest', 'image:1:ask:.img.tmp'],
    ['has completed the Checkpoint', 'status:1:ask:"event":"evict"'],
  ])('%s: the program runs on', async (_name, step) => {
    const dumped = await machine.tryDump(workload, { env: await criuKilledWhen(step) });
    expect(dumped.exitCode).not.toBe(0);
    // it answers once the watcher has returned it
    expect(await snapshot(workload)).toBe(before);
    expect(await machine.state(workload.pid)).toBe('running');
    await machine.expectNothingLeft();
    await dump();
    await expectRestored();
  });
});

describe('criu is killed in a restore when the pool', () => {
  it.each([
    ['begins', 'status:1:ask:"event":"pool"'],
    ['has completed the Restore', 'status:1:ask:"event":"attach"'],
  ])('%s: nothing runs, and the restore can be repeated', async (_name, step) => {
    await dump();
    const restored = await machine.tryRestore({ env: await criuKilledWhen(step) });
    expect(restored.exitCode).not.toBe(0);
    await waitUntil(() => !isAlive(workload.pid));
    await machine.kill(workload.pid); // collected: the next restore needs its pid
    await machine.expectNothingLeft();
    await expectRestored();
  });
});

describe('the pool is killed in a restore when it', () => {
  it.each([
    ['starts', 'cuInit:1:kill'],
    ['makes a context', 'cuDevicePrimaryCtxRetain:1:kill'],
    ['calls Restore', 'cuCheckpointProcessRestore:1:kill'],
  ])('%s: another one does the work', async (_name, fail) => {
    await dump();
    await expectRestored({ SOFTCUDA_FAIL: fail });
  });
});
