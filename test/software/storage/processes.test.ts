// SPDX-License-Identifier: MIT
/** Custom storage of processes that are on a few of many devices, or have no memory; and any number of times. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readGpuImages } from '../../../lib/images/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil, waitUntilFree } from '../../helpers/wait.ts';

const DEVICES = 8;
const required = { CRIU_CUDA_STORAGE: 'driver' };

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', SOFTCUDA_DEVICES: String(DEVICES) });
});
afterEach(() => machine.close());

/** A new digest of all memory of two_devices.py. */
async function digestOf(pid: number, file: string): Promise<string> {
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR1');
  await waitUntil(() => existsSync(file));
  return readFileSync(file, 'utf8');
}

/** What a process has where, for two_devices.py; and what its image has. */
const places = [
  { title: 'on the last two of eight devices', sizes: '6:6,7:10', images: [{ devices: 2, allocations: 2 }] },
  {
    title: 'on one device, with a context on another',
    sizes: '5:0,2:6',
    images: [{ devices: 1, allocations: 1 }],
  },
  { title: 'nowhere, with contexts on two', sizes: '3:0,4:0', images: [{ devices: 0, allocations: 0 }] },
];

describe.each(['parallel', 'full'] as const)('variant %s', (variant) => {
  it.each(places)('moves the memory of a process that has it $title', async ({ sizes, images }) => {
    const libdir = variantDir(variant);
    if (variant === 'full') await machine.startPool();
    const file = join(machine.dir, 'digest');
    const script = join(projectRoot, 'test/software/storage/two_devices.py');
    const { pid = 0 } = spawn('python3', [script, file, sizes], {
      ...({ detached: true, stdio: 'ignore' } as const),
      env: { ...process.env, ...machine.env },
    });
    try {
      await waitUntil(() => existsSync(file));
      const digest = readFileSync(file, 'utf8');
      for (let i = 0; i < 2; i++) {
        const dump = await machine.dumpPid(pid, { libdir, env: required });
        expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
        await waitUntilFree(pid);
        const written = await readGpuImages(machine.imagesDir);
        expect(written.map(({ manifest }) => manifest.isDriver)).toEqual([true]);
        expect(
          written.map(({ manifest: { devices, allocations } }) => ({
            devices: devices.length,
            allocations: allocations.length,
          })),
        ).toEqual(images);
        const restored = await machine.tryRestore({ libdir, env: { SOFTCUDA_STORAGE_ORDER: 'reverse' } });
        expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
        expect(await machine.state(pid)).toBe('running');
        expect(await digestOf(pid, file)).toBe(digest);
      }
    } finally {
      await machine.kill(pid);
    }
    if (variant === 'parallel') await machine.expectNothingLeft();
  });
});

it('dumps and restores any number of times, with other bytes each time, into the same directory', async () => {
  const workload = await machine.start();
  for (let i = 0; i < 3; i++) {
    expect(await workload.ask(`fill ${i + 20}`)).toBe('ok');
    const before = await snapshot(workload);
    const dump = await machine.tryDump(workload, { env: required });
    expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
    await waitUntilFree(workload.pid);
    const restored = await machine.tryRestore();
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  }
  await machine.expectNothingLeft();
});

describe('a restore', () => {
  it.each([{ CRIU_CUDA_STORAGE: 'off' }, { CRIU_CUDA_PARALLEL_RESTORE: '0' }])(
    'with %j takes what the image has: the setting is about dumps',
    async (env) => {
      const workload = await machine.start();
      const before = await snapshot(workload);
      const dump = await machine.tryDump(workload, { env: required });
      expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
      const restored = await machine.tryRestore({ env });
      expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
      expect(await snapshot(workload)).toBe(before);
    },
  );

  it.each(['stock', 'remap'] as const)('with variant %s is refused before anything runs', async (variant) => {
    const workload = await machine.start();
    const before = await snapshot(workload);
    const dump = await machine.tryDump(workload, { env: required });
    expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
    const refused = await machine.tryRestore({ libdir: variantDir(variant) });
    expect(refused.exitCode).not.toBe(0);
    expect(errorsIn(refused.log)).toMatch(/install variant .*parallel or full/);
    const restored = await machine.tryRestore();
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });
});
