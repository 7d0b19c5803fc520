// SPDX-License-Identifier: MIT
/** A tree whose memory the driver hands over is restored at once, and a failure of one process ends all. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, readProcessTree } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import type { StatusEvent } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { flipByte } from './flip.ts';
import { waitFor } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let workload: Workload;
let pids: number[];
let before: string[];

/** What every process of the tree has in its device memory. */
const checksums = async (): Promise<string[]> => [
  await workload.verify(),
  await workload.verify('child 0 '),
  await workload.verify('child 1 '),
];

const attached = (status: readonly StatusEvent[]): (number | undefined)[] =>
  status.filter(({ event }) => event === 'attach').map(({ pid }) => pid);

beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', CRIU_CUDA_STORAGE: 'driver' });
  workload = await machine.start({ args: ['--alloc', '8Mx2', '--alloc', '64K', '--children', '2'] });
  pids = readProcessTree(workload.pid).map(({ pid }) => pid);
  before = await checksums();
  const dump = await machine.tryDump(workload);
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(machine.manifests()).toHaveLength(3);
});
afterEach(() => machine.close());

/** The pool has completed the Restore of one process, and says so only when `act` has ended. */
const WITH_ONE_DONE = 'pool:status:1:ask:"event":"attach"';

async function expectAllRestored(): Promise<void> {
  expect(await checksums()).toEqual(before);
  for (const pid of pids) expect(await machine.state(pid)).toBe('running');
  await machine.expectNothingLeft();
}

describe('three processes', () => {
  it('are restored at once: two do not wait for the first', async () => {
    let others: unknown[] = [];
    const env = await faultPoint(machine.dir, WITH_ONE_DONE, async () => {
      await waitFor(() => {
        others = attached(machine.readStatus());
        expect(others).toHaveLength(2);
      });
    });
    const restored = await machine.tryRestore({ env });
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    expect(others).toHaveLength(2);
    expect(attached(restored.status).slice(0, 2)).toEqual(others);
    expect(attached(restored.status).sort()).toEqual([...pids].sort());
    await expectAllRestored();
  });

  it('get another pool when the first is killed before it has answered about one', async () => {
    const env = await faultPoint(machine.dir, WITH_ONE_DONE, async (pool) => {
      await waitFor(() => {
        expect(attached(machine.readStatus())).toHaveLength(2);
      });
      process.kill(pool, 'SIGKILL');
    });
    const restored = await machine.tryRestore({ env });
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    expect(restored.status).toContainEqual(expect.objectContaining({ event: 'fallback', to: 'helper' }));
    await expectAllRestored();
  });
});

describe('all of them end', () => {
  async function expectNoneRuns(damaged: number, env: Record<string, string> = {}): Promise<void> {
    const { exitCode, status } = await machine.tryRestore({ env });
    expect(exitCode).not.toBe(0);
    expect(status.filter(({ event }) => event === 'task')).toMatchObject([
      { pid: damaged, outcome: 'failed' },
    ]);
    for (const pid of pids) expect(isAlive(pid)).toBe(false);
    for (const pid of pids) await machine.kill(pid); // collected: the next restore needs their pids
    await machine.expectNothingLeft();
  }

  it.each([0, 1, 2])(
    'if the image of process %i is damaged, and come back when it is mended',
    async (nth) => {
      const damaged = pids[nth] ?? 0;
      const stripe = machine.stripes().find((name) => name.startsWith(`cuda-${damaged}-`)) ?? '';
      flipByte(machine.imagesDir, stripe, 5000);
      await expectNoneRuns(damaged);
      flipByte(machine.imagesDir, stripe, 5000);
      const restored = await machine.tryRestore();
      expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
      await expectAllRestored();
    },
  );
});
