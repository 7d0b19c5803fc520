// SPDX-License-Identifier: MIT
/** A process is killed while CRIU waits for an answer of its parasite, which then never comes. */
import { afterEach, expect, it } from 'vitest';
import { readStat } from '../../../lib/process/index.ts';
import { type PluginVariant, variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { testTool } from '../../helpers/parallel.ts';

const machines: Machine[] = [];
afterEach(async () => {
  await Promise.all(machines.splice(0).map((machine) => machine.close()));
});

function newMachine(): Machine {
  const machine = new Machine();
  machines.push(machine);
  return machine;
}

const env = (pid: number): Record<string, string> => ({
  LD_PRELOAD: testTool('lost-answer.so'),
  CCR_LOST_ANSWER: String(pid),
  CRIU_CUDA_LOCK_TIMEOUT_MS: '500',
});

/** Kills the program in its dump, which then waits for two seconds. */
async function expectEnd(variant: PluginVariant): Promise<void> {
  const machine = newMachine();
  const workload = await machine.start();
  const options = { libdir: variantDir(variant), env: env(workload.pid) };
  await expect(machine.dumpPid(workload.pid, options)).rejects.toThrow('killed by SIGKILL');
  await workload.ended();
  await expect
    .poll(() => machine.readStatus().find(({ outcome }) => outcome === 'failed'))
    .toMatchObject({
      pid: workload.pid,
      reason: 'it was killed, and criu, which waited for it without end, too',
    });
  machine.takeStatus();
}

it('the dump ends, and says why, with each variant', async () => {
  await Promise.all((['stock', 'remap', 'parallel'] as const).map(expectEnd));
});

it('the other processes of the tree are as before', async () => {
  const machine = newMachine();
  const workload = await machine.start({ args: ['--alloc', '4M', '--children', '1', '--host', '2M'] });
  const child = Number(/pid=(\d+)/.exec(await workload.ask('child 0 status'))?.[1]);
  const before = await workload.verify();
  const options = { libdir: variantDir('remap'), env: env(child) };
  await expect(machine.dumpPid(workload.pid, options)).rejects.toThrow('killed by SIGKILL');
  await expect.poll(() => machine.state(workload.pid)).toBe('running');
  machine.takeStatus();
  expect(await workload.verify()).toBe(before);
  expect(readStat(child)?.state ?? 'Z').toBe('Z');
});
