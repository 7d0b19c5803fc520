// SPDX-License-Identifier: MIT
/**
 * Images that are in device memory before a restore, and processes that are restored ahead of time.
 * @module
 */
import { readStat } from '../process/index.ts';
import type { RestoredProcess } from '../restore/index.ts';
import type { Check } from './check.ts';
import { ensure, ensureSame } from './ensure.ts';
import { snapshotOf, type Dumped, type Sandbox } from './sandbox.ts';

/** Restores and verifies the memory. Times in milliseconds. */
async function restoreAndVerify(
  sandbox: Sandbox,
  { workload, snapshot }: Dumped,
): Promise<{ restored: RestoredProcess; restoreMs: number; verifiedMs: number }> {
  const start = performance.now();
  const restored = await sandbox.restore('full');
  const after = await snapshotOf(workload);
  const verifiedMs = performance.now() - start;
  ensureSame('device memory', snapshot, after);
  return { restored, restoreMs: restored.result.durationMs, verifiedMs };
}

/** The daemon's only image. */
async function residentImage(sandbox: Sandbox): Promise<{ origin: string; state: string; bytes: number }> {
  const [image, ...others] = (await sandbox.poolStatus()).images;
  if (image && others.length === 0 && image.state === 'resident') return image;
  throw new Error(
    `the daemon has ${image ? others.length + 1 : 0} images, in state ${image?.state ?? 'none'}`,
  );
}

const prefetch: Check = {
  name: 'prefetch',
  claim: 'a restore takes an image that the daemon has prefetched, and loads nothing',
  run: async (sandbox) => {
    await sandbox.startPool();
    const dumped = await sandbox.dump(await sandbox.start('full'), 'full');
    const start = performance.now();
    await sandbox.prefetch();
    const prefetchMs = performance.now() - start;
    const { origin, bytes } = await residentImage(sandbox);
    ensure(origin === 'prefetch', `the origin of the image is ${origin}`);
    const { restoreMs, verifiedMs } = await restoreAndVerify(sandbox, dumped);
    const { images, counters } = await sandbox.poolStatus();
    ensure(images.length === 0, 'the image is still resident after the restore');
    ensure(counters.loads === 0, `the restore loaded ${counters.loads ?? 'an unknown number of'} images`);
    return { prefetchMs, restoreMs, verifiedMs, residentBytes: bytes };
  },
};

const held: Check = {
  name: 'held',
  claim: 'a restore takes the memory that the daemon holds after a dump',
  run: async (sandbox) => {
    await sandbox.startPool();
    const workload = await sandbox.start('full');
    const dumped = await sandbox.dump(workload, 'full', { env: { CRIU_CUDA_HOLD: '1' } });
    const { origin, bytes } = await residentImage(sandbox);
    ensure(origin === 'hold', `the origin of the image is ${origin}`);
    const { restoreMs, verifiedMs } = await restoreAndVerify(sandbox, dumped);
    return { dumpMs: dumped.result.durationMs, restoreMs, verifiedMs, residentBytes: bytes };
  },
};

const golden: Check = {
  name: 'golden',
  claim: 'a golden image serves more than one restore and stays resident',
  run: async (sandbox) => {
    await sandbox.startPool();
    const dumped = await sandbox.dump(await sandbox.start('full'), 'full');
    await sandbox.prefetch({ golden: true });
    const first = await restoreAndVerify(sandbox, dumped);
    await sandbox.end(first.restored);
    const second = await restoreAndVerify(sandbox, dumped);
    await residentImage(sandbox);
    return { firstVerifiedMs: first.verifiedMs, secondVerifiedMs: second.verifiedMs };
  },
};

const standby: Check = {
  name: 'standby',
  claim: 'a standby process is stopped until it is woken, and then has its memory',
  run: async (sandbox) => {
    await sandbox.startPool();
    const { workload, snapshot } = await sandbox.dump(await sandbox.start('full'), 'full');
    const restored = await sandbox.restore('full', { leaveStopped: true });
    const { state } = readStat(workload.pid) ?? {};
    ensure(state === 'T', `process ${workload.pid} is in state ${state ?? 'none'}, not stopped`);
    const start = performance.now();
    const { durationMs } = await restored.wake();
    const after = await snapshotOf(workload);
    const verifiedMs = performance.now() - start;
    ensureSame('device memory', snapshot, after);
    return { wakeMs: durationMs, verifiedMs };
  },
};

export const poolChecks: readonly Check[] = [prefetch, held, golden, standby];
