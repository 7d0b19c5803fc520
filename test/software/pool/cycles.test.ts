// SPDX-License-Identifier: MIT
/** Repeated restores from one golden image: none of them leaves anything behind. */
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { prefetchImages } from '../../../lib/pool/index.ts';
import { leastOf, Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const CYCLES = 300;
const libdir = variantDir('full');

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

it(`${CYCLES} restores`, { timeout: 300_000 }, async () => {
  const { pid } = await machine.startPool();
  const workload = await machine.start({
    args: ['--alloc', '4Mx3', '--alloc', '2Mx4'],
    env: { LD_PRELOAD: interceptorLibrary() },
  });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
  await prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden: true });

  const held = async () => ({
    free: (await machine.poolStatus()).devices.map((device) => device.freeBytes),
    sockets: readdirSync(machine.runDir).filter((name) => name.endsWith('.sock')),
  });
  const count = (what: 'fd' | 'task') => readdirSync(`/proc/${pid}/${what}`).length;
  /** The kernel may free the ids of threads a moment after their process is gone, and nothing shows that. */
  const restoreAfterKill = async () => {
    const restored = await machine.restore({ libdir });
    return /Unable to create a thread: -17\b/.test(restored.log) ? machine.restore({ libdir }) : restored;
  };
  const atStart = await held();
  // a session may be about to end
  const [fds, threads] = [await leastOf(() => count('fd'), held), await leastOf(() => count('task'), held)];
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const restored = await restoreAfterKill();
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
    // the program works a moment before the pool knows it
    const isCounted = async () => (await machine.poolStatus()).counters.restores === cycle + 1;
    await waitUntil(isCounted, { interval: 1 });
    await machine.kill(workload.pid);
  }
  await expect.poll(held).toEqual(atStart);
  await expect.poll(() => count('fd')).toBe(fds);
  await expect.poll(() => count('task')).toBe(threads);
  expect((await machine.poolStatus()).counters).toMatchObject({ restores: CYCLES, loads: 0, failures: 0 });
});
