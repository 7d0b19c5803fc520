// SPDX-License-Identifier: MIT
// A producer passes tensors in device memory to a consumer by CUDA IPC, as torch.multiprocessing does. The consumer compares every
// tensor, so a handle, a mapping or a byte that a dump lost ends the program.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

const start = (env: Record<string, string> = { LD_PRELOAD: interceptorLibrary() }): Promise<Workload> =>
  machine.start({ program: ['python3', join(projectRoot, 'test/helpers/tensor_queue.py')], env });

async function ask(queue: Workload, request: string): Promise<{ arrived: number; pids: number[] }> {
  const answer = await queue.ask(request);
  const [, arrived, pids = ''] = /^ok arrived=(\d+) pids=(\S+)$/.exec(answer) ?? [];
  if (arrived === undefined) throw new Error(`${request}: ${answer}`);
  return { arrived: Number(arrived), pids: pids.split(',').map(Number) };
}

/** More tensors arrive, and are right. */
async function passMore(queue: Workload, nr = 60): Promise<void> {
  const { arrived } = await ask(queue, 'status');
  await ask(queue, `await ${arrived + nr}`);
}

it.each([
  ['with the interceptor', undefined],
  ['without it', {}],
])('tensors arrive, with and without events, %s', async (_, env) => {
  const queue = await start(env);
  await ask(queue, 'start');
  await passMore(queue);
  for (const events of ['on', 'each', 'off']) {
    await ask(queue, `events ${events}`);
    await passMore(queue);
  }
  await ask(queue, 'stop');
});

it.each(['parallel', 'full'] as const)(
  '%s: dumped while tensors are on their way, and restored, twice',
  async (variant) => {
    const libdir = variantDir(variant);
    const queue = await start();
    await ask(queue, 'start');
    await passMore(queue);
    for (let round = 0; round < 2; round += 1) {
      const { pids } = await ask(queue, 'status');
      const dumped = await machine.dump(queue, { libdir });
      expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
      await waitUntilFree(queue.pid, ...pids);
      const restored = await machine.restore({ libdir });
      expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
      await passMore(queue);
      // The memory is one again: what the one process writes, the other reads, without a copy.
      expect(pids.map(devicesOf).every((nr) => nr > 0)).toBe(true);
    }
  },
);

/** How many mappings of device memory a process has. */
const devicesOf = (pid: number): number =>
  readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .filter((line) => /rw-s .*\/device0\.mem/.test(line)).length;

it('a dump that leaves it running changes nothing', async () => {
  const libdir = variantDir('parallel');
  const queue = await start();
  await ask(queue, 'start');
  await passMore(queue);
  const dumped = await machine.dump(queue, { libdir, args: ['--leave-running'] });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  await passMore(queue);
});

it.each([
  ['parallel', 'on'],
  ['full', 'each'],
] as const)('%s: the same while events are on their way, too: %s', async (variant, events) => {
  const libdir = variantDir(variant);
  const queue = await start();
  await ask(queue, 'start');
  await ask(queue, `events ${events}`);
  await passMore(queue);
  for (let round = 0; round < 2; round += 1) {
    const { pids } = await ask(queue, 'status');
    const dumped = await machine.dump(queue, { libdir });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    await waitUntilFree(queue.pid, ...pids);
    const restored = await machine.restore({ libdir });
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    await passMore(queue);
  }
});
