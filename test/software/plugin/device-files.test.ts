// SPDX-License-Identifier: MIT
/**
 * Device files of the driver that no CUDA context owns: inherited by a fork, or NVML's. softcuda's is a character device
 * without a driver, which CRIU cannot dump. What counts: descriptors, what shares an open file, and what CUDA and NVML say.
 */
import {
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { pluginVariants, usesInterceptor, variantDir } from '../../../lib/variant.ts';
import { needDumpsOfOthers } from '../../helpers/criu.ts';
import { DeviceHolder, type DeviceDescriptor, type HolderOptions } from '../../helpers/device-files.ts';
import { Machine, type CriuOptions, type CriuRun } from '../../helpers/machine.ts';
import { targets } from '../../helpers/same-program.ts';
import { waitUntil } from '../../helpers/wait.ts';

/** CUDA_ERROR_NOT_INITIALIZED */
const NOT_INITIALIZED = 3;

let machine: Machine;
let holders: DeviceHolder[];
beforeEach(() => {
  machine = new Machine();
  holders = [];
});
afterEach(async () => {
  for (const holder of holders) await holder.end();
  await machine.close();
});

async function start(words: readonly string[], options?: HolderOptions): Promise<DeviceHolder> {
  const holder = await DeviceHolder.start(machine, words, options);
  holders.push(holder);
  return holder;
}

async function dump(holder: DeviceHolder, options: CriuOptions): Promise<CriuRun> {
  const pids = readProcessTree(holder.pid).map(({ pid }) => pid);
  const run = await machine.dumpPid(holder.pid, options);
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
  if (!options.args?.includes('--leave-running')) await Promise.all(pids.map((pid) => waitForExit(pid)));
  return run;
}

async function restore(options: CriuOptions): Promise<CriuRun> {
  const run = await machine.restore(options);
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
  return run;
}

/** All but the open file: the driver opens a new one for a process with CUDA, also after a dump that failed. */
const withoutFile = (list: readonly DeviceDescriptor[]): unknown[] =>
  list.map((one) => ({ ...one, file: 0 }));

/** The files of ours in the images directory. */
const ownFiles = (): string[] => readdirSync(machine.imagesDir).filter((name) => name.startsWith('cuda'));

const withInterceptor = pluginVariants
  .flatMap((variant) =>
    usesInterceptor(variant)
      ? [
          { variant, env: { LD_PRELOAD: interceptorLibrary() }, how: 'with the interceptor' },
          { variant, env: {}, how: 'without it' },
        ]
      : [{ variant, env: {}, how: 'without the interceptor' }],
  )
  .filter(({ variant, how }) => variant !== 'parallel' || how === 'with the interceptor');

describe.each(withInterceptor)('$variant, $how,', ({ variant, env }) => {
  const options = { libdir: variantDir(variant) };

  it('restores forked workers beside a spawned one, twice', async () => {
    const holder = await start(['cuda', 'dup', 'fork', 'fork', 'spawn'], { env });
    const answers = await holder.ask();
    const [parent, first, second, spawned] = answers;
    expect(parent?.cuda).toEqual([0, 0, true]);
    for (const { cuda } of [first ?? {}, second ?? {}])
      expect(cuda?.slice(0, 2)).toEqual([NOT_INITIALIZED, NOT_INITIALIZED]);
    const before = await holder.descriptors();
    // the driver's own descriptor and its duplicate, which is not close-on-exec, in the parent and both workers
    const [own, duplicate] = before;
    const workers = [first, second].map((one) => one?.pid ?? 0).sort((a, b) => a - b);
    expect(before.map(({ pid }) => pid)).toEqual([parent?.pid, ...workers].flatMap((pid) => [pid, pid]));
    expect(new Set(before.map(({ file }) => file)).size).toBe(1);
    expect(own?.flags).not.toBe(duplicate?.flags);
    expect(spawned?.cuda).toBeUndefined();

    await dump(holder, options);
    for (let i = 0; i < 2; i++) {
      await restore(options);
      expect(await holder.ask()).toEqual(answers);
      // the driver has closed its own descriptor and opened another one; all others still share one open file
      const [again, ...after] = await holder.descriptors();
      expect(again?.pid).toBe(parent?.pid);
      expect(withoutFile(after)).toEqual(withoutFile(before.slice(1)));
      expect(new Set(after.map(({ file }) => file)).size).toBe(1);
      expect(after[0]?.file).not.toBe(again?.file);
      await holder.end();
    }
  });

  it('restores an engine that was forked from a program with NVML', async () => {
    const holder = await start(['nvml', 'engine'], { env });
    const [parent, engine] = await holder.ask();
    expect([parent?.nvml, engine?.cuda, engine?.nvml]).toEqual([
      [0, true],
      [0, 0, true],
      [0, true],
    ]);
    const before = await holder.descriptors();
    expect(before.map(({ pid }) => pid)).toEqual([parent?.pid, engine?.pid, engine?.pid]);
    await dump(holder, options);
    await restore(options);
    const again = await holder.ask();
    expect(await holder.descriptors()).toEqual(before);
    expect(again).toEqual([
      { pid: parent?.pid, nvml: [0, true] },
      { pid: engine?.pid, cuda: [0, 0, true], nvml: [0, true] },
    ]);
  });
});

describe('NVML in a tree without CUDA', () => {
  const options = { libdir: variantDir('remap') };

  it('works after each restore', async () => {
    const holder = await start(['nvml', 'fork']);
    const before = await holder.descriptors();
    await dump(holder, options);
    for (let i = 0; i < 2; i++) {
      await restore(options);
      expect(await holder.descriptors()).toEqual(before);
      expect((await holder.ask()).map(({ nvml }) => nvml)).toEqual([
        [0, true],
        [0, true],
      ]);
      await holder.end();
    }
  });

  it('does not notice a dump that leaves it running', async () => {
    const holder = await start(['nvml', 'fork']);
    const before = await holder.descriptors();
    await dump(holder, { ...options, args: ['--leave-running'] });
    expect(ownFiles()).toEqual(['cuda.img']);
    expect(await holder.descriptors()).toEqual(before);
    expect((await holder.ask()).map(({ nvml }) => nvml)).toEqual([
      [0, true],
      [0, true],
    ]);
    await holder.end();
    await restore(options);
    expect(await holder.descriptors()).toEqual(before);
  });
});

it.each(pluginVariants)('%s rolls a dump back that fails after the device files', async (variant) => {
  const env = usesInterceptor(variant) ? { LD_PRELOAD: interceptorLibrary() } : {};
  const holder = await start(['nvml', 'cuda', 'fork', 'broken'], { env });
  const answers = await holder.ask();
  const before = await holder.descriptors();
  const run = await machine.dumpPid(holder.pid, { libdir: variantDir(variant) });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toMatch(/softcudactl is opened again at a restore/);
  expect(run.log).toMatch(/Can't dump file \d+ of that type .*userfaultfd/);
  expect(await holder.ask()).toEqual(answers);
  expect(withoutFile(await holder.descriptors())).toEqual(withoutFile(before));
  await waitUntil(() => ownFiles().length === 0);
});

it('does not begin to restore without the device', async () => {
  const options = { libdir: variantDir('stock') };
  const holder = await start(['nvml', 'fork']);
  await dump(holder, options);
  const node = join(machine.dir, 'devices', 'softcudactl');
  rmSync(node);
  const refused = await machine.restore(options);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.log).toContain(
    `${node}: No such file or directory; a process of the checkpoint has this device of the GPU driver open; ` +
      'load the driver, or give the container the device',
  );
  expect(refused.log).not.toMatch(/Forking task/);
  expect(existsSync(`/proc/${holder.pid}`)).toBe(false);
  writeFileSync(node, '');
  const other = await machine.restore(options);
  expect(other.log).toContain(`${node} is not a device of the GPU driver`);
});

it('refuses the images without their index', async () => {
  const options = { libdir: variantDir('stock') };
  await dump(await start(['nvml']), options);
  rmSync(join(machine.imagesDir, 'cuda.img'));
  const refused = await machine.restore(options);
  expect(refused.exitCode).not.toBe(0);
  expect(refused.log).toContain('cuda.img');
  expect(refused.log).not.toMatch(/Forking task/);
});

/** A device with a driver in place of softcuda's device file. */
async function makeDevice(type: 'b' | 'c', pattern: RegExp, list: string): Promise<void> {
  const [, major = '0', minor = '0'] = pattern.exec(list) ?? [];
  mkdirSync(join(machine.dir, 'devices'));
  await execResult('mknod', [join(machine.dir, 'devices', 'softcudactl'), type, major, minor]);
}

it('keeps how a device was opened, where it has a driver', async (context) => {
  const misc = `10 ${readFileSync('/proc/misc', 'utf8').replaceAll('\n', '\n10 ')}`;
  await makeDevice('c', /^(10) +(\d+) (?:loop-control|btrfs-control|vga_arbiter)$/m, misc);
  const holder = await start(['nvml', 'fork']);
  const before = await holder.descriptors();
  const isOpen = (Number.parseInt(before[0]?.flags ?? '0', 8) & constants.O_RDWR) !== 0;
  if (!isOpen) context.skip('no device file with a driver can be created and opened here');
  const options = { libdir: variantDir('stock') };
  await dump(holder, options);
  await restore(options);
  expect(await holder.descriptors()).toEqual(before);
});

it.for(['stock', 'full'] as const)(
  '%s keeps the addresses of a device that a fork has left mapped',
  async (variant, context) => {
    // a loop device without a file can be mapped, and has no bytes
    const free = readdirSync('/sys/block').filter(
      (name) => /^loop\d+$/.test(name) && readFileSync(`/sys/block/${name}/size`, 'utf8') === '0\n',
    );
    const numbers = free.map((name) => readFileSync(`/sys/block/${name}/dev`, 'utf8')).at(-1) ?? '';
    await makeDevice('b', /^(\d+):(\d+)/, numbers);
    const holder = await start(['cuda', 'fork']);
    if (holder.mappings()[0]?.device.length === 0)
      context.skip('no device file with a driver can be created and opened here');
    await holder.end();

    const mapper = await start(['cuda', 'map', 'fork', 'fork']);
    const answers = await mapper.ask();
    const before = mapper.mappings();
    const [, worker] = before;
    expect(worker?.device).toHaveLength(5); // four, and what the driver of the parent has mapped
    const options = { libdir: variantDir(variant) };
    await dump(mapper, { ...options, args: ['--leave-running'] });
    expect(mapper.mappings()).toEqual(before);
    expect(await mapper.ask()).toEqual(answers);
    await dump(mapper, options);
    for (let i = 0; i < 2; i++) {
      await restore(options);
      expect(await mapper.ask()).toEqual(answers);
      const [parent, ...workers] = mapper.mappings();
      expect(workers).toEqual(before.slice(1).map(({ pid, device }) => ({ pid, device: [], empty: device })));
      // that of the driver is where it likes
      expect(parent?.empty).toEqual(before[0]?.device.filter((one) => parent?.empty.includes(one)));
      expect([parent?.device.length, parent?.empty.length]).toEqual([1, 4]);
      const memfds = readProcessTree(mapper.pid).flatMap(({ pid }) => targets(pid));
      expect(memfds.filter((path) => path.includes('criu-cuda-device'))).toEqual([]);
      if (i === 0)
        await dump(mapper, options); // what was restored can be dumped
      else await mapper.end();
    }
  },
);

it('has the device file in a program of another user, and restores it', async (context) => {
  chmodSync(machine.dir, 0o755);
  const devices = join(machine.dir, 'devices');
  mkdirSync(devices);
  chownSync(devices, 1000, 1000);
  // the programs may be below root's home
  const caps = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const holder = await start(['cuda', 'fork'], {
    under: ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', ...caps],
  });
  const answers = await holder.ask();
  const before = await holder.descriptors();
  expect(before).toHaveLength(2);
  needDumpsOfOthers(context);
  const options = { libdir: variantDir('remap') };
  await dump(holder, options);
  await restore(options);
  expect(await holder.ask()).toEqual(answers);
  expect(withoutFile(await holder.descriptors())).toEqual(withoutFile(before));
});
