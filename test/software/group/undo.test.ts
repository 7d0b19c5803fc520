// SPDX-License-Identifier: MIT
/**
 * The pool dies while a dump of ranks that share memory is undone. A rank that has its memory keeps it, and another pool decides for
 * all: no rank runs with other memory than the one that it shares with.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { keptBy, Ranks } from '../../helpers/ranks.ts';
import { waitFor, waitUntilFree } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
});
afterEach(() => machine.close());

const libdir = variantDir('parallel');

describe.each([
  ['two ranks', ['--ranks', '2', '--devices', '2'], [54, 60, 66, 70, 73, 76]],
  [
    'three ranks by CUDA IPC',
    ['--ranks', '3', '--lead', '--share', 'ipc', '--words', '300000'],
    [90, 100, 108, 114],
  ],
] as const)('%s', (_what, args, messages) => {
  it.each(messages)('at its message %i', async (nth) => {
    const ranks = await Ranks.start(machine, args);
    const before = ranks.pids.map((pid) => keptBy(pid).threads);
    const env = await faultPoint(machine.dir, `pool:message:${nth}:ask:`, (pid) => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    });
    await machine.dumpPid(ranks.pid, { libdir, args: ['--leave-running'], env });
    await ranks.check();
    await waitFor(() => {
      expect(ranks.pids.map((pid) => keptBy(pid).threads)).toEqual(before);
    });
    // What they share is known again: the next dump finds every import's exporter.
    const dumped = await machine.dump(ranks.workload, { libdir });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    await waitUntilFree(ranks.pid, ...ranks.pids);
    const restored = await machine.restore({ libdir });
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    await ranks.check();
  });
});
