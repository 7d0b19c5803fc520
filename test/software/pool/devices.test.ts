// SPDX-License-Identifier: MIT
/** More than one software GPU: memory of each, processes on each, and a restore onto other GPUs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { prefetchImages, type PoolStatus } from '../../../lib/pool/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine, type CriuRun } from '../../helpers/machine.ts';

const libdir = variantDir('full');
const MIB = 1 << 20;

let machine: Machine;
let begin: number[];
beforeEach(async () => {
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  begin = freeOf(await machine.startPool());
});
afterEach(() => machine.close());

const freeOf = (status: PoolStatus): number[] => status.devices.map((device) => device.freeBytes);
const start = (device: number, args = ['--alloc', '8Mx3', '--alloc', '2Mx4']): Promise<Workload> =>
  machine.start({ args: [...args, '--device', String(device)], env: { LD_PRELOAD: interceptorLibrary() } });
const snapshot = async (workload: Workload): Promise<string> =>
  `${await workload.verify()} ${await workload.addresses()}`;

/** Used memory of each device, in MiB. */
const taken = async (): Promise<number[]> =>
  freeOf(await machine.poolStatus()).map((free, i) => Math.round(((begin[i] ?? 0) - free) / MIB));

async function restore(env: Record<string, string> = {}): Promise<CriuRun> {
  const run = await machine.restore({ libdir, env });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
  return run;
}

it('has a warm context on each, and loads an image on the device of its process', async () => {
  const workload = await start(1);
  const before = await snapshot(workload);
  expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
  await expect.poll(taken).toEqual([0, 0]);
  await prefetchImages(machine.imagesDir, { runDir: machine.runDir });
  expect((await machine.poolStatus()).devices.map((device) => device.residentBytes)).toEqual([0, 32 * MIB]);
  expect((await restore()).log).toMatch(/1 resident images reused/);
  expect(await snapshot(workload)).toBe(before);
  const [first = -1, second = -1] = await taken();
  expect([first, second >= 32]).toEqual([0, true]);
});

describe('CRIU_CUDA_DEVICE_MAP', () => {
  const mapOf = ({ devices: [a, b] }: PoolStatus): string => `${a?.uuid}=${b?.uuid},${b?.uuid}=${a?.uuid}`;

  it.each([
    ['with the daemon', {}],
    ['with a helper', { CRIU_CUDA_CONTEXT_POOL: '0' }],
  ])('restores on the other device %s', async (_name, env) => {
    const workload = await start(0);
    const before = await snapshot(workload);
    expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
    await expect.poll(taken).toEqual([0, 0]);
    await restore({ ...env, CRIU_CUDA_DEVICE_MAP: mapOf(await machine.poolStatus()) });
    expect(await snapshot(workload)).toBe(before);
    const [first = -1, second = -1] = await taken();
    expect([first, second >= 32]).toEqual([0, true]);
  });

  it('does not use an image that is resident on the old device', async () => {
    const workload = await start(0);
    const before = await snapshot(workload);
    expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
    await prefetchImages(machine.imagesDir, { runDir: machine.runDir });
    const run = await restore({ CRIU_CUDA_DEVICE_MAP: mapOf(await machine.poolStatus()) });
    expect(run.log).toMatch(/0 resident images reused, 0 golden copied, 1 loading/);
    expect(await snapshot(workload)).toBe(before);
  });

  it.each([
    ['GPU-1=GPU-2', /CRIU_CUDA_DEVICE_MAP: "GPU-1=GPU-2"; accepted: GPU-<old UUID>=GPU-<new UUID>/],
    ['GPU-00000000-0000-0000-0000-000000000000', /CRIU_CUDA_DEVICE_MAP: .*accepted/],
  ])('%s is refused by name, and the process keeps running', async (map, message) => {
    const workload = await start(0);
    const before = await snapshot(workload);
    const dumped = await machine.dump(workload, { libdir, env: { CRIU_CUDA_DEVICE_MAP: map } });
    expect(dumped.exitCode).not.toBe(0);
    expect(dumped.log).toMatch(message);
    expect(await snapshot(workload)).toBe(before);
  });
});
