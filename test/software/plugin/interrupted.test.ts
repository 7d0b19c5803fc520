// SPDX-License-Identifier: MIT
/** A dump of a tree that fails after its first process: no process stays locked. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const MEMBERS = ['', 'child 0 ', 'child 1 '];

let machine: Machine;
let workload: Workload;
let pids: number[];
let before: string[];

const snapshots = (): Promise<string[]> => Promise.all(MEMBERS.map((who) => workload.verify(who)));

beforeEach(async () => {
  machine = new Machine();
  workload = await machine.start({ args: ['--alloc', '4Mx2', '--children', '2'] });
  before = await snapshots();
  const statuses = await Promise.all(MEMBERS.map((who) => workload.ask(`${who}status`)));
  pids = statuses.map((status) => Number(/pid=(\d+)/.exec(status)?.[1]));
  // Its lock waits; the parent's was already taken.
  expect(await workload.ask('child 0 spin start')).toBe('ok');
});
afterEach(() => machine.close());

async function expectRunningAsBefore(): Promise<void> {
  expect(await workload.verify()).toBe(before[0]);
  expect(await workload.ask('child 0 spin stop')).toBe('ok');
  expect(await snapshots()).toEqual(before);
  for (const pid of pids)
    await waitFor(async () => {
      expect(await machine.state(pid)).toBe('running');
    });
}

it('by a lock timeout', async () => {
  const dump = await machine.dump(workload, { env: { CRIU_CUDA_LOCK_TIMEOUT_MS: '1000' } });
  expect(dump.exitCode).not.toBe(0);
  const locks = dump.status.filter((e) => e.step === 'lock').map((e) => [e.pid, e.name]);
  expect(locks).toEqual([
    [pids[0], 'CUDA_SUCCESS'],
    [pids[1], 'CUDA_ERROR_NOT_READY'],
  ]);
  await expectRunningAsBefore();
});

it('by criu being killed', async () => {
  const dump = machine.dump(workload, { keepStatus: true }).catch((error: unknown) => error);
  const status = await waitUntil(() => {
    const events = machine.readStatus();
    return events.some((e) => e.step === 'lock') && events;
  });
  expect(status.find((e) => e.step === 'lock')).toMatchObject({ pid: pids[0], name: 'CUDA_SUCCESS' });
  expect(await machine.state(workload.pid)).toBe('locked');
  const criu = status.find((e) => e.event === 'begin')?.criu;
  expect(criu).toBeDefined();
  if (criu !== undefined) process.kill(criu, 'SIGKILL');
  expect(await dump).toBeInstanceOf(Error);
  await expectRunningAsBefore();
});
