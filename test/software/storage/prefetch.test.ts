// SPDX-License-Identifier: MIT
/**
 * Images of memory that the driver takes, prefetched: in device memory, or in host memory where a device has no room
 * for the image and its process. A restore copies them to what the driver maps, and reads no file.
 */
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dropImages, markGolden, prefetchImages } from '../../../lib/pool/index.ts';
import { isAlive, waitForExit } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { makeCgroup } from '../../helpers/cgroup.ts';
import type { CriuOptions, CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { flipByte } from './flip.ts';

const libdir = variantDir('full');
/** 41 MiB on the first of two devices. */
const ARGS = ['--alloc', '8Mx5', '--alloc', '1M'];

let machine: ParallelMachine;
let workload: Workload;
let before: string;
let poolPid: number;

async function dumpOne(args: readonly string[] = ARGS): Promise<void> {
  workload = await machine.start({ args });
  before = await snapshot(workload);
  const dump = await machine.tryDump(workload, { libdir });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
}

const prefetch = (golden = false): Promise<unknown> =>
  prefetchImages(machine.imagesDir, { runDir: machine.runDir, golden });

const images = async () => (await machine.poolStatus()).images;
const freeBytes = async (): Promise<number[]> =>
  (await machine.poolStatus()).devices.map((device) => device.freeBytes);

async function expectRestoredFrom(source: string, options: CriuOptions = {}): Promise<CriuRun> {
  const restored = await machine.tryRestore({ libdir, ...options });
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(restored.status).toContainEqual(
    expect.objectContaining({ event: 'attach', storage: true, source, result: 0 }),
  );
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  return restored;
}

beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', SOFTCUDA_DEVICES: '2' });
  poolPid = (await machine.startPool()).pid;
});
afterEach(() => machine.close());

/** The device has 256 MiB: room for 41 MiB twice, and not for 150 MiB. */
const places = [
  { memory: 'device', args: ARGS },
  { memory: 'host', args: ['--alloc', '50Mx3', '--alloc', '64K'] },
] as const;

describe.each(places)('in $memory memory', ({ memory, args }) => {
  it('an image is copied to the process, which needs none of its files, and is gone then', async () => {
    const free = await freeBytes();
    await dumpOne(args);
    await prefetch();
    expect(await images()).toMatchObject([{ state: 'resident', memory, isGolden: false }]);
    // damaged after it was read: the manifest is the same
    flipByte(machine.imagesDir, machine.stripes()[0] ?? '', 5000);
    await expectRestoredFrom('resident');
    expect(await images()).toEqual([]);
    await workload.kill();
    await expect.poll(freeBytes).toEqual(free);
  });

  it('a golden image serves one restore after the other', async () => {
    await dumpOne(args);
    await prefetch(true);
    for (let i = 0; i < 2; i++) {
      await expectRestoredFrom('golden');
      await machine.kill(workload.pid);
    }
    expect(await images()).toMatchObject([{ state: 'resident', memory, isGolden: true }]);
    await markGolden(machine.imagesDir, false, { runDir: machine.runDir });
    await expectRestoredFrom('resident');
    expect(await images()).toEqual([]);
  });

  it('a dropped image frees its memory, and the restore reads the files', async () => {
    const free = await freeBytes();
    await dumpOne(args);
    await prefetch();
    expect(await dropImages(machine.imagesDir, { runDir: machine.runDir })).toBe(1);
    await expect.poll(freeBytes).toEqual(free);
    await expectRestoredFrom('files');
  });

  it('an image is read from the files when the pool that had it was killed', async () => {
    await dumpOne(args);
    await prefetch();
    process.kill(poolPid, 'SIGKILL');
    await waitUntil(() => !isAlive(poolPid));
    await expectRestoredFrom('files');
  });

  it('an image whose files were replaced is dropped', async () => {
    await dumpOne(args);
    await prefetch();
    await expectRestoredFrom('resident');
    const again = await machine.tryDump(workload, { libdir, args: ['--leave-running'] });
    expect(again.exitCode, errorsIn(again.log)).toBe(0);
    await prefetch();
    expect(await workload.ask('fill 7')).toBe('ok');
    before = await snapshot(workload);
    const changed = await machine.tryDump(workload, { libdir });
    expect(changed.exitCode, errorsIn(changed.log)).toBe(0);
    await waitForExit(workload.pid);
    await expectRestoredFrom('files');
    expect(await images()).toEqual([]);
  });

  it('a damaged image is refused, and nothing of it stays', async () => {
    const free = await freeBytes();
    await dumpOne(args);
    flipByte(machine.imagesDir, machine.stripes()[0] ?? '', 5000);
    await expect(prefetch()).rejects.toThrow(/xxh3/);
    expect(await images()).toEqual([]);
    await expect.poll(freeBytes).toEqual(free);
    flipByte(machine.imagesDir, machine.stripes()[0] ?? '', 5000);
    await expectRestoredFrom('files');
  });
});

it('is refused where the memory limit of the pool has no room for it, and the pool is not killed', async (context) => {
  const { dir, remove } = makeCgroup('memory', basename(machine.dir), context);
  await dumpOne(places[1].args);
  writeFileSync(join(dir, 'cgroup.procs'), String(poolPid));
  writeFileSync(join(dir, 'memory.limit_in_bytes'), String(300 << 20));
  try {
    const group = dir.slice('/sys/fs/cgroup/memory'.length);
    await expect(prefetch()).rejects.toThrow(`the memory limit of the cgroup ${group} has `);
    expect(await images()).toEqual([]);
    expect((await machine.poolStatus()).pid).toBe(poolPid);
    writeFileSync(join(dir, 'memory.limit_in_bytes'), String(2 ** 30));
    await prefetch();
    expect(await images()).toMatchObject([{ state: 'resident', memory: 'host' }]);
  } finally {
    await remove();
  }
});

describe('the restore of a prefetched image', () => {
  const device = memoryFailure('cuMemcpyDtoDAsync:1:999', ARGS);
  const host = memoryFailure('cuMemcpyHtoDAsync:1:999', places[1].args);

  /** The daemon gets an error of the copy. */
  function memoryFailure(fail: string, args: readonly string[]): () => Promise<void> {
    return async () => {
      await machine.kill(poolPid);
      await machine.startPool({ SOFTCUDA_FAIL: fail });
      await dumpOne(args);
      await prefetch();
      const restored = await machine.tryRestore({ libdir });
      expect(restored.exitCode).not.toBe(0);
      expect(errorsIn(restored.log)).toContain('copy of ');
      expect(isAlive(workload.pid)).toBe(false);
      await machine.kill(workload.pid);
      await expectRestoredFrom('files');
    };
  }

  it('fails with an error of the copy within the device, and can be repeated', device);
  it(
    'fails with an error of that copy after the driver has taken it',
    memoryFailure('cuStreamSynchronize:1:700', ARGS),
  );
  it('fails with an error of the copy from host memory, and can be repeated', host);

  it('reads the files when the device became full meanwhile: the image is dropped', async () => {
    await dumpOne();
    await prefetch();
    const other = await machine.start({ args: ['--alloc', '60Mx3'] });
    const others = await other.verify();
    await expectRestoredFrom('files');
    expect(await other.verify()).toBe(others);
    expect(await images()).toEqual([]);
  });

  it('reads the files with a device map: the image is on the old device', async () => {
    const gpu = (number: number): string => `GPU-736f6674-6375-6461-0000-00010000000${number}`;
    await dumpOne();
    await prefetch();
    const env = { CRIU_CUDA_DEVICE_MAP: `${gpu(0)}=${gpu(1)},${gpu(1)}=${gpu(0)}` };
    await expectRestoredFrom('files', { env });
    expect(await images()).toHaveLength(1);
  });
});
