// SPDX-License-Identifier: MIT
/** The daemon ends after its operations, and a standby is one: `pool stop` says for which it waits. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { stopPool } from '../../../lib/pool/index.ts';
import { isAlive, readStat } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

it('names a standby, in time and when it gives up, and ends when that is woken', async () => {
  const daemon = await machine.startPool();
  const workload = await machine.startIntercepted();
  const before = await workload.verify();
  const shared = { imagesDir: machine.imagesDir, criu: criuProgram(), env: machine.env };
  await checkpoint({ ...shared, pid: workload.pid });
  const standby = await restore({ ...shared, leaveStopped: true });
  expect(readStat(workload.pid)?.state).toBe('T');

  const named: number[] = [];
  const onStandbys = (pids: number[]): void => {
    named.push(...pids);
  };
  const { runDir } = machine;
  await expect(stopPool({ runDir, timeoutMs: 200, onStandbys })).rejects.toMatchObject({
    code: 'ERR_POOL',
    hint: `it waits for the standby ${workload.pid}: wake it (criu-cuda wake PID) or end it (criu-cuda stop PID)`,
  });
  expect(named).toEqual([workload.pid]);
  expect(isAlive(daemon.pid)).toBe(true);

  await standby.wake();
  expect(await workload.verify()).toBe(before);
  await expect.poll(() => isAlive(daemon.pid)).toBe(false);
  await standby.kill(0);
});

it('names nothing when there is none', async () => {
  const { pid } = await machine.startPool();
  const named: number[][] = [];
  const stopped = await stopPool({ runDir: machine.runDir, onStandbys: (pids) => named.push(pids) });
  expect(stopped).toBe(pid);
  expect(named).toEqual([]);
});
