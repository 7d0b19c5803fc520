// SPDX-License-Identifier: MIT
/** Dumps and restores with variant `full` and the pool daemon. */
import { mkdirSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManifestSchema } from '../../../lib/images/gen/image_pb.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { dropImages, markGolden, prefetchImages, type PoolStatus } from '../../../lib/pool/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { changeManifest } from '../../helpers/gpu-image.ts';
import { Machine, type CriuOptions, type CriuRun } from '../../helpers/machine.ts';

const libdir = variantDir('full');
const ARGS = ['--alloc', '8Mx3', '--alloc', '2Mx5', '--alloc', '1M'];
const MOVED_BYTES = 34 << 20;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const start = (args = ARGS): Promise<Workload> =>
  machine.start({ args, env: { LD_PRELOAD: interceptorLibrary() } });
const dump = (workload: Workload, options: CriuOptions = {}): Promise<CriuRun> =>
  machine.dump(workload, { libdir, ...options });
const pool = {
  get runDir(): string {
    return machine.runDir;
  },
};

async function restore(options: CriuOptions = {}): Promise<CriuRun> {
  const run = await machine.restore({ libdir, ...options });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
  return run;
}

async function snapshot(workload: Workload): Promise<string> {
  return `${await workload.verify()} ${await workload.addresses()}`;
}

/** Free device memory, once operations that have just ended have released theirs. */
async function expectFree(bytes: number): Promise<PoolStatus> {
  await expect.poll(async () => (await machine.poolStatus()).devices[0]?.freeBytes).toBe(bytes);
  return machine.poolStatus();
}

const freeOf = (status: PoolStatus): number => status.devices[0]?.freeBytes ?? 0;

describe('a restore', () => {
  it('is used for a load, and keeps nothing', async () => {
    const begin = freeOf(await machine.startPool());
    const workload = await start();
    const before = await snapshot(workload);
    const dumped = await dump(workload);
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    expect(dumped.log).toContain('context pool: connected to the daemon');
    await expectFree(begin);
    const restored = await restore();
    expect(restored.log).toMatch(/context pool: 0 resident images reused, 0 golden copied, 1 loading/);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(workload.pid);
    const { counters, images } = await expectFree(begin);
    expect(images).toEqual([]);
    expect(counters).toMatchObject({ dumps: 1, restores: 1, loads: 1, reused: 0, failures: 0 });
  });

  it('uses a prefetched image', async () => {
    const begin = freeOf(await machine.startPool());
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    expect(await prefetchImages(machine.imagesDir, pool)).toBe(1);
    expect(await prefetchImages(machine.imagesDir, pool)).toBe(1); // is already resident
    const { images } = await machine.poolStatus();
    expect(images).toMatchObject([
      { dir: machine.imagesDir, state: 'resident', origin: 'prefetch', bytes: MOVED_BYTES },
    ]);
    const restored = await restore();
    expect(restored.log).toMatch(/1 resident images reused, 0 golden copied, 0 loading/);
    expect(await snapshot(workload)).toBe(before);
    expect((await machine.poolStatus()).images).toEqual([]);
    await machine.kill(workload.pid);
    await expectFree(begin);
  });

  it('uses what a dump left on the device when CRIU_CUDA_HOLD is 1', async () => {
    await machine.startPool();
    const workload = await start();
    const before = await snapshot(workload);
    const dumped = await dump(workload, { env: { CRIU_CUDA_HOLD: '1' } });
    expect(dumped.exitCode).toBe(0);
    await expect
      .poll(async () => (await machine.poolStatus()).images)
      .toMatchObject([{ origin: 'hold', bytes: MOVED_BYTES }]);
    // Not read again: the image is still resident without its files.
    const stripes = readdirSync(machine.imagesDir).filter((name) => /^cuda-\d+-\d+\.img$/.test(name));
    for (const name of stripes) rmSync(join(machine.imagesDir, name));
    expect((await restore()).log).toMatch(/1 resident images reused/);
    expect(await snapshot(workload)).toBe(before);
  });

  it('does not use an image that changed since it was prefetched', async () => {
    await machine.startPool();
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    await prefetchImages(machine.imagesDir, pool);
    const manifest = readdirSync(machine.imagesDir).find((name) => /^cuda-\d+\.img$/.test(name)) ?? '';
    changeManifest(join(machine.imagesDir, manifest), ManifestSchema, (message) => (message.created += 1n));
    expect((await restore()).log).toMatch(
      /0 resident images reused, 0 golden copied, 1 loading \(1 of them changed/,
    );
    expect(await snapshot(workload)).toBe(before);
  });

  it('uses an image whose files have a new date and the same content', async () => {
    await machine.startPool();
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    await prefetchImages(machine.imagesDir, pool);
    for (const name of readdirSync(machine.imagesDir)) utimesSync(join(machine.imagesDir, name), 1, 1);
    expect((await restore({ env: { CRIU_CUDA_REMAP: '0' } })).log).toMatch(/1 resident images reused/);
    expect(await snapshot(workload)).toBe(before);
  });

  it.each([
    ['without a daemon', {}, false, /no daemon at .*pool\.sock \(No such file/],
    [
      'with CRIU_CUDA_CONTEXT_POOL=0',
      { CRIU_CUDA_CONTEXT_POOL: '0' },
      true,
      /not used, CRIU_CUDA_CONTEXT_POOL=0/,
    ],
  ])('%s is served by a helper', async (_name, env, daemon, said) => {
    if (daemon) await machine.startPool();
    const workload = await start();
    const before = await snapshot(workload);
    expect((await dump(workload, { env })).log).toMatch(said);
    expect((await restore({ env })).log).toMatch(said);
    expect(await snapshot(workload)).toBe(before);
  });
});

describe('a golden image', () => {
  it('serves one restore after the other', async () => {
    const begin = freeOf(await machine.startPool());
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    await prefetchImages(machine.imagesDir, { ...pool, golden: true });
    for (let i = 0; i < 3; i++) {
      expect((await restore()).log).toMatch(/1 golden copied/);
      expect(await snapshot(workload)).toBe(before);
      await machine.kill(workload.pid);
    }
    await expectFree(begin - MOVED_BYTES);
    expect(await dropImages(machine.imagesDir, pool)).toBe(0);
    expect(await markGolden(machine.imagesDir, false, pool)).toBe(1);
    expect(await dropImages(machine.imagesDir, pool)).toBe(1);
    await expectFree(begin);
  });

  it('is not changed by what a clone writes', async () => {
    await machine.startPool();
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    await prefetchImages(machine.imagesDir, { ...pool, golden: true });
    // Even if the settings ask for memory to stay mapped as it was handed over.
    await restore({ env: { CRIU_CUDA_HANDOVER: 'map' } });
    expect(await workload.ask('fill 77')).toContain('ok');
    await machine.kill(workload.pid);
    await restore();
    expect(await snapshot(workload)).toBe(before);
  });
});

describe('the budget', () => {
  it('refuses what does not fit, and drops the least recently used image', async () => {
    await machine.startPool({ CRIU_CUDA_POOL_BUDGET_MB: '80' });
    const dirs = ['a', 'b', 'c'].map((name) => join(machine.dir, name));
    for (const imagesDir of dirs) {
      mkdirSync(imagesDir);
      expect((await dump(await start(), { imagesDir })).exitCode).toBe(0);
    }
    const [a = '', b = '', c = ''] = dirs;
    await prefetchImages(a, pool);
    await prefetchImages(b, pool);
    await prefetchImages(a, pool);
    await prefetchImages(c, pool);
    const { images, counters } = await machine.poolStatus();
    expect(images.map(({ dir }) => dir).sort()).toEqual([a, c]);
    expect(counters.evictions).toBe(1);
    await markGolden(a, true, pool);
    await markGolden(c, true, pool);
    await expect(prefetchImages(b, pool)).rejects.toThrow(/does not fit.*CRIU_CUDA_POOL_BUDGET_MB is 80/);
  });

  it('is dropped for a restore that finds the device full', async () => {
    const begin = freeOf(await machine.startPool());
    const workload = await start(['--alloc', '100M']);
    const before = await snapshot(workload);
    await dump(workload);
    await expectFree(begin); // its process ends before its memory is free
    const other = join(machine.dir, 'other');
    mkdirSync(other);
    await dump(await start(['--alloc', '100Mx2']), { imagesDir: other });
    await expectFree(begin);
    await prefetchImages(other, pool);
    await restore();
    expect(await snapshot(workload)).toBe(before);
    expect((await machine.poolStatus()).images).toEqual([]);
  });
});

describe('requests that are refused', () => {
  it.each([
    ['no images', 'nothing', /holds no GPU image/],
    ['no directory', 'missing', /missing: No such file/],
  ])('prefetch of %s', async (_name, dir, message) => {
    await machine.startPool();
    mkdirSync(join(machine.dir, 'nothing'));
    await expect(prefetchImages(join(machine.dir, dir), pool)).rejects.toThrow(message);
  });

  it('a second daemon for the run directory', async () => {
    await machine.startPool();
    await expect(machine.startPool()).rejects.toThrow(/a pool daemon is already running for .*: pid/);
    expect((await machine.poolStatus()).devices).toHaveLength(1);
  });

  it('a daemon without a driver', async () => {
    await expect(machine.startPool({ CRIU_CUDA_DRIVER: '/missing/libcuda.so.1' })).rejects.toThrow(/libcuda/);
  });
});

it('returns the memory after a dump that leaves the process running', async () => {
  await machine.startPool();
  const workload = await start();
  const before = await snapshot(workload);
  const free = freeOf(await machine.poolStatus());
  for (let i = 0; i < 3; i++) {
    const dumped = await dump(workload, { args: ['--leave-running'] });
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  }
  const { counters } = await expectFree(free);
  expect(counters).toMatchObject({ dumps: 3, roll_backs: 3, failures: 0 });
});
