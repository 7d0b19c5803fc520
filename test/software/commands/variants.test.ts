// SPDX-License-Identifier: MIT
/** Which plugin a checkpoint and a restore take by themselves, and what they say that the memory went through. */
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkpoint, type CheckpointResult } from '../../../lib/checkpoint/index.ts';
import { buildDir } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { restore, type RestoredProcess, type RestoreOptions } from '../../../lib/restore/index.ts';
import { pluginVariants, usesInterceptor, variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram, upstreamPlugin } from '../../helpers/criu.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';

const MIB = 2 ** 20;
/** What the interceptor moves of the program, in units of 2 MiB; an allocation of 1 MiB stays with the driver. */
const MOVED = 36 * MIB;

let machine: ParallelMachine;
let restored: RestoredProcess[];
beforeEach(() => {
  machine = new ParallelMachine();
  restored = [];
  vi.stubEnv('CRIU_LIBS_DIR', undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const one of restored) await one.kill(0);
  await machine.close();
});

const intercepted = (): Promise<Workload> => machine.startIntercepted();
const plain = (): Promise<Workload> =>
  machine.start({ args: ['--alloc', '8Mx4', '--alloc', '1M', '--alloc', '3M'] });

const shared = (env: Record<string, string> = {}) => ({
  ...{ imagesDir: machine.imagesDir, criu: criuProgram() },
  env: { ...machine.env, ...env },
});

interface Evidence {
  checksum: string;
  addresses: string;
}
const examine = async (workload: Workload): Promise<Evidence> => ({
  checksum: await workload.verify(),
  addresses: await workload.addresses(),
});

/** Warnings about the plugin and memory: what the program has open is reported as well, and depends on the caller. */
const warningsOf = ({ warnings }: { warnings: string[] }): string[] =>
  warnings.filter((one) => /device memory|streams, not|cannot restore|does not contain/.test(one));

interface Dumped {
  result: CheckpointResult;
  before: Evidence;
}
async function dump(workload: Workload, more: object = {}): Promise<Dumped> {
  const before = await examine(workload);
  const result = await checkpoint({ ...shared(), ...more, pid: workload.pid });
  expect(isAlive(workload.pid)).toBe(false);
  return { result, before };
}

async function bringBack(more: Partial<RestoreOptions> = {}): Promise<RestoredProcess> {
  const back = await restore({ ...shared(), ...more });
  restored.push(back);
  return back;
}

/** Restores without a word about the plugin, twice. */
async function expectTwoRestores(workload: Workload, before: Evidence): Promise<RestoredProcess> {
  const first = await bringBack();
  expect(await examine(workload)).toEqual(before);
  await first.kill(0);
  const second = await bringBack();
  expect(await examine(workload)).toEqual(before);
  return second;
}

describe('without --variant', () => {
  it.each(['helper', 'daemon'] as const)('a program with the interceptor goes through the %s', async (by) => {
    if (by === 'daemon') await machine.startPool();
    const workload = await intercepted();
    const { result, before } = await dump(workload);
    expect(result.plugin).toMatchObject({ variant: 'full', path: `${variantDir('full')}/cuda_plugin.so` });
    expect(result.memory).toMatchObject([
      { pid: workload.pid, pool: { by, bytes: MOVED, askedStreams: undefined }, reason: undefined },
    ]);
    expect(result.memory[0]?.driverBytes).toBeLessThan(MOVED);
    expect(machine.manifests()).toEqual([`cuda-${workload.pid}.img`]);
    expect(warningsOf(result)).toEqual([]);
    const back = await expectTwoRestores(workload, before);
    expect(back.result.memory).toMatchObject([
      { pid: workload.pid, pool: { by, bytes: MOVED, source: 'files' } },
    ]);
    expect(warningsOf(back.result)).toEqual([]);
  });

  it('a program without the interceptor goes through the driver and a page file', async () => {
    const workload = await plain();
    const { result, before } = await dump(workload, shared({ CRIU_CUDA_STORAGE: 'off' }));
    expect(result.plugin.variant).toBe('full');
    const [memory] = result.memory;
    expect(memory).toMatchObject({ pool: undefined, reason: 'it has no interceptor' });
    expect(memory?.driverBytes).toBeGreaterThanOrEqual(36 * MIB);
    expect(memory?.driverBytes).toBeLessThan(64 * MIB);
    expect(memory?.pageFileBytes).toBeGreaterThanOrEqual(36 * MIB);
    expect(memory?.criuBytes).toBeLessThan(16 * MIB);
    expect(machine.manifests()).toEqual([]);
    const back = await expectTwoRestores(workload, before);
    expect(back.result.memory).toMatchObject([
      { pool: undefined, reason: undefined, pageFileBytes: memory?.pageFileBytes },
    ]);
    expect(back.result.memory[0]?.driverBytes).toBeGreaterThanOrEqual(36 * MIB);
  });

  it('a program without the interceptor goes through the pool, if the driver hands its memory over', async () => {
    machine.env.SOFTCUDA_DRIVER = '615';
    const workload = await plain();
    const { result, before } = await dump(workload);
    const pool = { by: 'helper', bytes: MOVED + 4 * MIB };
    expect(result.memory).toMatchObject([{ pid: workload.pid, pool, reason: undefined }]);
    expect(result.memory[0]?.driverBytes).toBeLessThan(MOVED);
    expect(machine.manifests()).toEqual([`cuda-${workload.pid}.img`]);
    expect(warningsOf(result)).toEqual([]);
    const back = await expectTwoRestores(workload, before);
    expect(back.result.memory).toMatchObject([{ pid: workload.pid, pool: { ...pool, source: 'files' } }]);
  });

  it('with CRIU_CUDA_PARALLEL_RESTORE=0 the driver has it, and the result says so', async () => {
    const workload = await intercepted();
    const { result } = await dump(workload, shared({ CRIU_CUDA_PARALLEL_RESTORE: '0' }));
    expect(result.memory).toMatchObject([{ pool: undefined, reason: 'CRIU_CUDA_PARALLEL_RESTORE is 0' }]);
    expect(result.memory[0]?.driverBytes).toBeGreaterThanOrEqual(MOVED);
  });

  it.each(pluginVariants)('a checkpoint by %s is restored', async (variant) => {
    const workload = await (usesInterceptor(variant) ? intercepted() : plain());
    const { result, before } = await dump(workload, { variant });
    expect(result.plugin.variant).toBe(variant);
    if (variant === 'stock') {
      expect(result.memory).toMatchObject([
        { pageFileBytes: 0, reason: 'variant stock leaves it to the driver' },
      ]);
      expect(result.memory[0]?.criuBytes).toBeGreaterThanOrEqual(36 * MIB);
    }
    const back = await expectTwoRestores(workload, before);
    expect(back.result.plugin.variant).toBe('full');
  });

  it("a checkpoint by CRIU's own plugin is restored", async ({ skip }) => {
    const plugin = upstreamPlugin();
    if (plugin === undefined) skip(`no upstream cuda_plugin.so next to ${criuProgram()}`);
    const workload = await plain();
    const tools = join(buildDir(), 'bin'); // cuda-checkpoint
    const env = { PATH: `${tools}:${process.env.PATH ?? ''}`, CRIU_FAULT: '138' };
    const { result, before } = await dump(workload, { ...shared(env), libdir: dirname(plugin ?? '') });
    expect(result.plugin).toMatchObject({ variant: undefined, path: plugin });
    const back = await expectTwoRestores(workload, before);
    expect(back.result.plugin.variant).toBe('full');
  });
});

describe('with CRIU_LIBS_DIR', () => {
  it.each(pluginVariants)(
    '%s is used where it can do it, and passed over where it cannot',
    async (variant) => {
      vi.stubEnv('CRIU_LIBS_DIR', variantDir(variant));
      const own = await intercepted();
      const { result, before } = await dump(own);
      expect(result.plugin.variant).toBe(variant);
      const back = await bringBack();
      expect(back.result.plugin.variant).toBe(variant);
      expect(warningsOf(back.result)).toEqual([]);
      expect(await examine(own)).toEqual(before);
      await back.kill(0);

      const workload = await intercepted();
      const imagesDir = join(machine.dir, 'parallel');
      const other = await dump(workload, { imagesDir, variant: 'parallel' });
      const second = await bringBack({ imagesDir });
      expect(second.result.plugin.variant).toBe(usesInterceptor(variant) ? variant : 'full');
      const note = `${variant} in ${variantDir(variant)} (CRIU_LIBS_DIR) cannot restore ${imagesDir}`;
      expect(warningsOf(second.result)).toEqual(
        usesInterceptor(variant) ? [] : [expect.stringContaining(note)],
      );
      expect(await examine(workload)).toEqual(other.before);
    },
  );
});

describe('what was typed', () => {
  it.each([
    ['stock', 'remap', 'cuda-host-'],
    ['stock', 'full', 'cuda-'],
    ['remap', 'parallel', 'cuda-'],
  ] as const)('%s refuses a checkpoint by %s before criu is started', async (typed, variant, file) => {
    const workload = await intercepted();
    await dump(workload, { variant });
    const refused = `variant ${typed} cannot restore ${machine.imagesDir}, whose ${file}${workload.pid}.img`;
    await expect(restore({ ...shared(), variant: typed })).rejects.toThrow(refused);
    await expect(restore({ ...shared(), libdir: variantDir(typed) })).rejects.toThrow('cannot restore');
    expect(existsSync(join(machine.imagesDir, 'restore.log'))).toBe(false);
    expect(isAlive(workload.pid)).toBe(false);
  });
});

describe('variant full falls back', () => {
  /** The plugin without the program that moves memory. */
  function withoutHelper(variant: 'parallel' | 'full'): string {
    const dir = join(machine.dir, 'lib');
    mkdirSync(dir);
    for (const name of ['cuda_plugin.so', 'cuda-look'])
      copyFileSync(join(variantDir(variant), name), join(dir, name));
    return dir;
  }

  it('to the driver when no helper can be started', async () => {
    const workload = await intercepted();
    const { result, before } = await dump(workload, { libdir: withoutHelper('full') });
    expect(result.memory).toMatchObject([{ pool: undefined, reason: 'the pool could not take it' }]);
    expect(result.memory[0]?.driverBytes).toBeGreaterThanOrEqual(MOVED);
    expect(warningsOf(result)).toEqual([
      expect.stringMatching(
        new RegExp(
          `^device memory of ${workload.pid} is moved by the driver instead of the helper: cannot start`,
        ),
      ),
    ]);
    expect(machine.manifests()).toEqual([]);
    await expectTwoRestores(workload, before);
  });

  it('and parallel does not', async () => {
    const workload = await intercepted();
    const before = await examine(workload);
    const dumped = checkpoint({ ...shared(), pid: workload.pid, libdir: withoutHelper('parallel') });
    await expect(dumped).rejects.toThrow('cannot start the cuda-poold next to the plugin');
    expect(await examine(workload)).toEqual(before);
  });

  it('to a helper when the daemon does not have the device', async () => {
    await machine.close();
    machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
    await machine.startPool({ SOFTCUDA_DEVICES: '1' });
    const workload = await machine.startIntercepted({}, [
      '--alloc',
      '8Mx4',
      '--alloc',
      '4M',
      '--device',
      '1',
    ]);
    const { result, before } = await dump(workload);
    expect(result.memory).toMatchObject([{ pool: { by: 'helper', bytes: MOVED } }]);
    expect(warningsOf(result)).toEqual([
      expect.stringContaining('device memory is moved by a helper instead of the daemon'),
    ]);
    const back = await bringBack();
    expect(back.result.memory).toMatchObject([{ pool: { by: 'helper', bytes: MOVED } }]);
    expect(warningsOf(back.result)).toEqual([
      expect.stringContaining('device memory is moved by a helper instead of the daemon'),
    ]);
    expect(await examine(workload)).toEqual(before);
  });
});

describe('a running daemon', () => {
  const stripes = (pid: number): number =>
    readdirSync(machine.imagesDir).filter((name) => name.startsWith(`cuda-${pid}-`)).length;

  it('uses the streams and chunks of the caller', async () => {
    await machine.startPool({ CRIU_CUDA_STREAMS: '4', CRIU_CUDA_CHUNK_MB: '4' });
    const workload = await intercepted();
    const env = { CRIU_CUDA_STREAMS: '1', CRIU_CUDA_CHUNK_MB: '1' };
    const { result, before } = await dump(workload, shared(env));
    expect(result.memory).toMatchObject([{ pool: { by: 'daemon', streams: 1, chunkMb: 1 } }]);
    expect(stripes(workload.pid)).toBe(1);
    expect(warningsOf(result)).toEqual([]);
    const back = await bringBack(shared({ ...env, CRIU_CUDA_STREAMS: '2' }));
    expect(back.result.memory).toMatchObject([{ pool: { by: 'daemon', streams: 2, chunkMb: 1 } }]);
    expect(await examine(workload)).toEqual(before);
  });

  it('says that it has fewer', async () => {
    await machine.startPool({ CRIU_CUDA_STREAMS: '2', CRIU_CUDA_CHUNK_MB: '1' });
    const workload = await intercepted();
    const env = { CRIU_CUDA_STREAMS: '8', CRIU_CUDA_CHUNK_MB: '16' };
    const { result, before } = await dump(workload, shared(env));
    const pool = { streams: 2, chunkMb: 1, askedStreams: 8, askedChunkMb: 16 };
    expect(result.memory).toMatchObject([{ pool }]);
    const warning = 'the daemon uses 2 streams, not 8 and chunks of 1 MiB, not 16';
    expect(warningsOf(result)).toEqual([expect.stringContaining(warning)]);
    const back = await bringBack(shared(env));
    expect(back.result.memory).toMatchObject([{ pool }]);
    expect(warningsOf(back.result)).toEqual([expect.stringContaining(warning)]);
    expect(await examine(workload)).toEqual(before);
  });
});
