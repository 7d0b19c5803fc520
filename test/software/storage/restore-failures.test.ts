// SPDX-License-Identifier: MIT
/** Restores through custom storage: on other devices, and everything that can be wrong. No program runs on wrong memory. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectRoot } from '../../../lib/paths.ts';
import { readStat, waitForExit } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import type { CriuOptions, CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { flipByte } from './flip.ts';

/** As the driver and the device map name a software GPU. */
const gpu = (number: number): string =>
  `GPU-736f6674-6375-6461-0000-0001${number.toString(16).padStart(8, '0')}`;

let machine: ParallelMachine;
let workload: Workload;
let before: string;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', SOFTCUDA_DEVICES: '3' });
});
afterEach(() => machine.close());

async function dumped(args: readonly string[] = ['--alloc', '8Mx3', '--alloc', '1M']): Promise<void> {
  workload = await machine.start({ args });
  before = await snapshot(workload);
  const dump = await machine.tryDump(workload, { env: { CRIU_CUDA_STORAGE: 'driver' } });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
}

async function expectRestored(options: CriuOptions = {}): Promise<void> {
  const restored = await machine.tryRestore(options);
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
}

async function expectRefused(message: RegExp, options: CriuOptions = {}): Promise<CriuRun> {
  const restored = await machine.tryRestore(options);
  expect(restored.exitCode).not.toBe(0);
  expect(errorsIn(restored.log)).toMatch(message);
  expect(readStat(workload.pid)?.state ?? 'Z').toBe('Z');
  await machine.kill(workload.pid); // collected: the next restore needs its pid
  await machine.expectNothingLeft();
  return restored;
}

const manifest = (): string => machine.manifests()[0] ?? '';

/** A new digest of all memory of two_devices.py. */
async function digestOf(pid: number, file: string): Promise<string> {
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR1');
  await waitUntil(() => existsSync(file));
  return readFileSync(file, 'utf8');
}

describe('devices', () => {
  it.each([
    ['in another order', {}],
    ['exchanged, as a device map says', { CRIU_CUDA_DEVICE_MAP: `${gpu(0)}=${gpu(1)},${gpu(1)}=${gpu(0)}` }],
  ])('may be listed %s', async (_name, env) => {
    const file = join(machine.dir, 'digest');
    const script = join(projectRoot, 'test/software/storage/two_devices.py');
    const options = { detached: true, stdio: 'ignore', env: { ...process.env, ...machine.env } } as const;
    const { pid = 0 } = spawn('python3', [script, file], options);
    try {
      await waitUntil(() => existsSync(file));
      const digest = readFileSync(file, 'utf8');
      const dump = await machine.dumpPid(pid, {
        libdir: variantDir('parallel'),
        env: { CRIU_CUDA_STORAGE: 'driver' },
      });
      expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
      await waitForExit(pid);
      const restored = await machine.tryRestore({ env: { SOFTCUDA_STORAGE_ORDER: 'reverse', ...env } });
      expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
      expect(await digestOf(pid, file)).toBe(digest);
    } finally {
      await machine.kill(pid);
    }
  });

  it('may be others, which a device map names', async () => {
    await dumped();
    await expectRestored({ env: { CRIU_CUDA_DEVICE_MAP: `${gpu(0)}=${gpu(2)}` } });
  });

  it('must be named by the map if they are others', async () => {
    await dumped();
    await expectRefused(/INVALID_VALUE|no .* with its UUID/, {
      env: { CRIU_CUDA_DEVICE_MAP: `${gpu(1)}=${gpu(9)}` },
    });
  });

  it('must have room', async () => {
    await dumped(['--alloc', '200M']);
    const other = await machine.start({ args: ['--alloc', '200M'] });
    await expectRefused(/CUDA_ERROR_OUT_OF_MEMORY/);
    await other.kill();
    await expectRestored();
  });
});

describe('images', () => {
  it('with a truncated stripe are refused before anything is restored', async () => {
    await dumped();
    truncateSync(join(machine.imagesDir, machine.stripes()[0] ?? ''), 4096);
    await expectRefused(/cuda-\d+-\d+\.img/);
  });

  it('with a wrong byte end the restore', async () => {
    await dumped();
    flipByte(machine.imagesDir, machine.stripes()[0] ?? '', 5000);
    const { status } = await expectRefused(/checksum|xxh3/i);
    // what is said is not the driver's name for any failure of a caller
    const steps = status.filter(({ event, result }) => event === 'step' && result !== 0);
    expect(steps).toMatchObject([
      { step: 'restore', reason: expect.stringMatching(/^cuda-\d+-\d+\.img: .*xxh3/) as string },
    ]);
  });

  it('of an unknown version are refused', async () => {
    await dumped();
    const path = join(machine.imagesDir, manifest());
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(3, 8);
    writeFileSync(path, bytes);
    await expectRefused(/version is 3/);
  });

  it('of an earlier dump in the directory are ignored', async () => {
    await dumped();
    await expectRestored();
    const again = await machine.tryDump(workload, { env: { CRIU_CUDA_STORAGE: 'off' } });
    expect(again.exitCode, errorsIn(again.log)).toBe(0);
    await waitForExit(workload.pid);
    await expectRestored();
  });

  it('are refused by a driver without custom storage', async () => {
    await dumped();
    await expectRefused(/takes driver 615/, { env: { SOFTCUDA_DRIVER: '610' } });
    await expectRestored();
  });
});

describe('the pool', () => {
  it('is killed at the Restore: another one does the work', async () => {
    await dumped();
    await expectRestored({ env: { SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:1:kill' } });
  });

  it.each([
    ['is killed while it copies', 'cuMemcpyHtoDAsync:1:kill', /it has ended|state/],
    ['is killed before it completes', 'cuCheckpointOperationComplete:1:kill', /it has ended|state/],
    ['gets an error of the Restore', 'cuCheckpointProcessRestore:1:999', /cuCheckpointProcessRestore/],
    ['gets an error of a copy', 'cuMemcpyHtoDAsync:1:999', /cuMemcpyHtoDAsync/],
    ['gets an error of a copy later', 'cuEventSynchronize:1:700', /cuEventSynchronize/],
    ['gets an error at the end', 'cuCheckpointOperationComplete:1:999', /cuCheckpointOperationComplete/],
  ] as const)('%s: the restore fails, and can be repeated', async (_name, fail, message) => {
    await dumped();
    await expectRefused(message, { env: { SOFTCUDA_FAIL: fail } });
    await expectRestored();
  });
});
