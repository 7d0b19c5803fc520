// SPDX-License-Identifier: MIT
/** Dumps that leave the process running, one after the other, while eight threads use the device. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { leastOf, Machine } from '../../helpers/machine.ts';

const CYCLES = 50;
const THREADS = 8;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

it(
  `${CYCLES} dumps of a process whose ${THREADS} threads allocate, copy, launch and free`,
  { timeout: 180_000 },
  async () => {
    await machine.startPool();
    const workload = await machine.start({
      args: ['--alloc', '4Mx4', '--churn', String(THREADS)],
      env: { LD_PRELOAD: interceptorLibrary() },
    });
    const before = `${await workload.verify()} ${await workload.addresses()}`;
    const fds = (): number => readdirSync(`/proc/${workload.pid}/fd`).length;
    const poolPid = (await machine.poolStatus()).pid;
    const poolFds = (): number => readdirSync(`/proc/${poolPid}/fd`).length;
    const roundsOf = async (): Promise<number> =>
      Number(/rounds=(\d+)/.exec(await workload.ask('status'))?.[1]);
    const ask = () => workload.ask('status');
    const atStart: number[] = [];
    let rounds = await roundsOf();
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const dumped = await machine.dump(workload, { libdir: variantDir('full'), args: ['--leave-running'] });
      expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
      // Every thread still computes correct results, and continues.
      expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
      const last = rounds;
      await expect.poll(async () => (rounds = await roundsOf())).toBeGreaterThan(last);
      expect(await workload.ask('status')).toContain('mismatch=0');
      rmSync(machine.imagesDir, { recursive: true });
      mkdirSync(machine.imagesDir);
      // the threads open and close files all the time, and so does the pool when a session ends
      if (cycle === 0) atStart.push(await leastOf(fds, ask), await leastOf(poolFds, ask));
    }
    const [files = 0, poolFiles = 0] = atStart;
    // each thread has one file more at times; a dump that left one would leave as many as there were dumps
    await expect.poll(fds).toBeLessThanOrEqual(files + THREADS);
    await expect.poll(poolFds).toBeLessThanOrEqual(poolFiles);
    await expect
      .poll(async () => (await machine.poolStatus()).counters)
      .toMatchObject({ dumps: CYCLES, roll_backs: CYCLES, failures: 0 });
  },
);
