// SPDX-License-Identifier: MIT
/** Signals that reach a task while the driver works in its restore thread. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { parseStat, readStat } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { readThreads } from '../../helpers/same-program.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine({ SOFTCUDA_MEMORY_MB: '1024' });
});
afterEach(() => machine.close());

const variants = ['stock', 'remap'] as const;
const args = ['--alloc', '600M'];

/** The restore thread runs while criu has stopped the first one. */
function isDriverAtWork(pid: number): boolean {
  if (readStat(pid)?.state !== 't') return false;
  const threads = readThreads(pid, 'stat').map(({ text }) => parseStat(text));
  return threads.some(({ comm, state }) => comm === 'softcuda-rst' && state !== 't');
}

const untilDriverWorks = (pid: number, event: string) =>
  waitUntil(() => machine.readStatus().some((one) => one.event === event) && isDriverAtWork(pid), {
    interval: 1,
  });

it.each(variants)('%s: SIGSTOP and SIGCONT during a dump do no harm', async (variant) => {
  const workload = await machine.start({ args });
  const before = await workload.verify();
  const dump = machine.dump(workload, { libdir: variantDir(variant), args: ['--leave-running'] });
  await untilDriverWorks(workload.pid, 'step');
  process.kill(workload.pid, 'SIGSTOP');
  process.kill(workload.pid, 'SIGCONT');
  // CRIU's own work in the task may be disturbed; then the dump fails, and the process has its prior state again
  expect([0, 1]).toContain((await dump).exitCode);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await workload.verify()).toBe(before);
});

it.each(variants)('%s: SIGCONT wakes a task that is being restored as a standby', async (variant) => {
  const libdir = variantDir(variant);
  const workload = await machine.start({ args });
  const before = await workload.verify();
  await machine.dump(workload, { libdir });
  const restore = machine.restore({ libdir, args: ['--leave-stopped'] });
  await untilDriverWorks(workload.pid, 'watcher');
  process.kill(workload.pid, 'SIGCONT');
  const { exitCode, log } = await restore;
  expect(exitCode, log.slice(-2000)).toBe(0);
  process.kill(workload.pid, 'SIGCONT');
  expect(await workload.verify()).toBe(before);
});
