// SPDX-License-Identifier: MIT
/** Ranks on several devices: restored on others, and not restored if the memory of one of them is damaged. */
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive } from '../../../lib/process/index.ts';
import type { PoolStatus } from '../../../lib/pool/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { Ranks } from '../../helpers/ranks.ts';
import { waitUntil, waitUntilFree } from '../../helpers/wait.ts';

const libdir = variantDir('full');
const DEVICES = 4;
const MIB = 1 << 20;

let machine: ParallelMachine;
let idle: PoolStatus;
beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: String(DEVICES) });
  idle = await machine.startPool();
});
afterEach(() => machine.close());

const start = (ranks: number, ...args: string[]): Promise<Ranks> =>
  Ranks.start(machine, ['--ranks', String(ranks), '--devices', String(DEVICES), '--alloc', '16', ...args], {
    SOFTCUDA_DEVICES: String(DEVICES),
  });

async function dump(ranks: Ranks): Promise<void> {
  const { exitCode, log } = await machine.dump(ranks.workload, { libdir });
  expect(exitCode, errorsIn(log)).toBe(0);
  await waitUntilFree(ranks.pid, ...ranks.pids);
}

async function restore(ranks: Ranks, env: Record<string, string> = {}): Promise<void> {
  const { exitCode, log } = await machine.restore({ libdir, env });
  expect(exitCode, errorsIn(log)).toBe(0);
  await ranks.check();
}

/** The devices on which a rank has its 16 MiB. */
async function inUse(): Promise<number[]> {
  const { devices } = await machine.poolStatus();
  return devices.flatMap(({ freeBytes }, i) =>
    (idle.devices[i]?.freeBytes ?? 0) - freeBytes >= 16 * MIB ? [i] : [],
  );
}

/** The memory of each device goes to the one that the function names. Every device is in the map, as the driver wants it. */
const mapTo = (to: (device: number) => number): string =>
  idle.devices.map(({ uuid }, i) => `${uuid}=${idle.devices[to(i)]?.uuid}`).join();

describe.each(['vmm', 'ipc', 'host'])('three ranks that share by %s', (share) => {
  it('are restored on other devices, and dumped there again', async () => {
    const ranks = await start(3, '--share', share);
    await expect.poll(inUse).toEqual([0, 1, 2]);
    await dump(ranks);
    await restore(ranks, { CRIU_CUDA_DEVICE_MAP: mapTo((i) => (i + 1) % DEVICES) });
    await expect.poll(inUse).toEqual([1, 2, 3]);
    // Their devices are 1, 2 and 3 now: two of them change places.
    await dump(ranks);
    await restore(ranks, { CRIU_CUDA_DEVICE_MAP: mapTo((i) => [0, 2, 1, 3][i] ?? i) });
    await expect.poll(inUse).toEqual([1, 2, 3]);
  });
});

function flipByte(path: string): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, 4096);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 4096);
  closeSync(file);
}

it.each([0, 3])('none of four runs when the memory of rank %i is damaged', async (damaged) => {
  const ranks = await start(4);
  await dump(ranks);
  const stripe = readdirSync(machine.imagesDir).find((name) =>
    new RegExp(`^cuda-${ranks.pids[damaged]}-\\d+\\.img$`).test(name),
  );
  flipByte(join(machine.imagesDir, stripe ?? ''));
  const { exitCode } = await machine.restore({ libdir });
  expect(exitCode).not.toBe(0);
  for (const pid of [ranks.pid, ...ranks.pids]) await waitUntil(() => !isAlive(pid));
  await expect.poll(inUse).toEqual([]);
});
