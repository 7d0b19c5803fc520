// SPDX-License-Identifier: MIT
/** Custom storage: on a driver that has it, an unmodified process is dumped and restored through the pool. */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readGpuImages } from '../../../lib/images/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';

/** 40 MiB on each of two devices, more than the rest of the process. */
const ARGS = ['--alloc', '8Mx5', '--alloc', '1M'];

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', SOFTCUDA_DEVICES: '2' });
});
afterEach(() => machine.close());

/** Bytes of CRIU's page images and of our page files. */
function hostBytes(): number {
  const names = machine.allFiles().filter((name) => /^(pages-|cuda-pages-)/.test(name));
  return names.reduce((sum, name) => sum + 512 * statSync(join(machine.imagesDir, name)).blocks, 0);
}

it.each(['parallel', 'full'] as const)('dumps and restores with variant %s', async (variant) => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);

  const dump = await machine.tryDump(workload, { libdir: variantDir(variant) });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(dump.status).toContainEqual(
    expect.objectContaining({ event: 'evict', storage: true, by: 'helper', result: 0 }),
  );
  expect(machine.manifests()).toHaveLength(1);
  expect(hostBytes()).toBeLessThan(16 << 20);

  const restore = await machine.tryRestore({ libdir: variantDir(variant) });
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(restore.status).toContainEqual(
    expect.objectContaining({ event: 'attach', storage: true, source: 'files', result: 0 }),
  );
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});

it('leaves a running process as it was', async () => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);
  const dump = await machine.tryDump(workload, { args: ['--leave-running'] });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});

it('writes what an earlier checkpoint does not have', async () => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);
  const earlier = join(machine.dir, 'earlier');
  mkdirSync(earlier);
  const first = await machine.tryDump(workload, { imagesDir: earlier, args: ['--leave-running'] });
  expect(first.exitCode, errorsIn(first.log)).toBe(0);
  await workload.ask('poke 2 0');
  const env = { CRIU_CUDA_PREV_IMAGES_DIR: earlier };
  const dump = await machine.tryDump(workload, { env });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  const [image] = await readGpuImages(machine.imagesDir);
  const { chunkSize = 0, chunks = [] } = image?.manifest ?? {};
  const stored = chunks.reduce((sum, { zero, length }) => sum + (zero ? 0 : length), 0);
  const written = image?.stripes.reduce((sum, { links, size }) => sum + (links === 1 ? size : 0), 0);
  expect(written).toBeLessThanOrEqual(chunkSize);
  expect(dump.status).toContainEqual(
    expect.objectContaining({ event: 'evict', storage: true, reused_bytes: stored - (written ?? 0) }),
  );
  rmSync(earlier, { recursive: true });
  const restore = await machine.tryRestore();
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  await expect(workload.verify()).rejects.toThrow('verify');
  await workload.ask('poke 2 0');
  expect(await snapshot(workload)).toBe(before);
});

it('stores a tree: the memory of each process, whatever it has', async () => {
  const workload = await machine.start({ args: [...ARGS, '--children', '2'] });
  const before = await snapshot(workload);
  const dump = await machine.tryDump(workload);
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(machine.manifests()).toHaveLength(3);
  const restore = await machine.tryRestore();
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('leaves to the interceptor what it has taken', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const dump = await machine.tryDump(workload);
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  const [image] = await readGpuImages(machine.imagesDir);
  expect(image?.manifest.isDriver).toBe(false);
  const restore = await machine.tryRestore();
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('takes all memory, also that of an interceptor, if it is told to', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const env = { CRIU_CUDA_STORAGE: 'driver' };
  const dump = await machine.tryDump(workload, { env });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  const [image] = await readGpuImages(machine.imagesDir);
  expect(image?.manifest.isDriver).toBe(true);
  const restore = await machine.tryRestore({ env });
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('is not used if it is off', async () => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);
  const dump = await machine.tryDump(workload, { env: { CRIU_CUDA_STORAGE: 'off' } });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(machine.manifests()).toEqual([]);
  const restore = await machine.tryRestore();
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('goes through the daemon if it runs, which has nothing left of it afterwards', async () => {
  const libdir = variantDir('full');
  await machine.startPool();
  const memory = async (): Promise<number[]> =>
    (await machine.poolStatus()).devices.map(({ freeBytes }) => freeBytes);
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);
  const free = await memory();
  const dump = await machine.tryDump(workload, { libdir });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(dump.status).toContainEqual(
    expect.objectContaining({ event: 'evict', storage: true, by: 'daemon' }),
  );
  const restore = await machine.tryRestore({ libdir });
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  expect(await memory()).toEqual(free);
});
