// SPDX-License-Identifier: MIT
import {
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
  openSync,
  readSync,
  writeSync,
  closeSync,
  renameSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readStat } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine, type CriuOptions, type CriuRun } from '../../helpers/machine.ts';

const libdir = variantDir('parallel');
const preload = { LD_PRELOAD: interceptorLibrary() };
const ARGS = ['--alloc', '8Mx3', '--alloc', '1M', '--alloc', '3M', '--host', '2M'];

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const start = (args: readonly string[] = ARGS): Promise<Workload> => machine.start({ args, env: preload });
const dump = (workload: Workload, options: CriuOptions = {}): Promise<CriuRun> =>
  machine.dump(workload, { libdir, ...options });
const restore = (options: CriuOptions = {}): Promise<CriuRun> => machine.restore({ libdir, ...options });
const gpuImages = (): string[] => readdirSync(machine.imagesDir).filter((name) => /^cuda-\d+/.test(name));

async function snapshot(workload: Workload, who = ''): Promise<string> {
  return `${await workload.verify(who)} ${await workload.addresses(who)}`;
}

describe('round trip', () => {
  it.each([
    ['replaced allocations', ARGS, ['']],
    ['allocations of the virtual memory API', ['--alloc', '4Mx3', '--vmm'], ['']],
    ['threads that call the driver', ['--alloc', '4Mx4', '--threads', '3', '--streams', '2'], ['']],
    ['a tree of three processes', ['--alloc', '4Mx2', '--children', '2'], ['', 'child 0 ', 'child 1 ']],
    ['two hundred allocations', ['--alloc', '2Mx60', '--alloc', '64Kx140'], ['']],
  ])("restores %s, whose bytes are not in CRIU's pages", async (_name, args, members) => {
    const workload = await start(args);
    const before = await Promise.all(members.map((who) => snapshot(workload, who)));
    const { bytes } = await workload.status();
    const dumped = await dump(workload);
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    expect(gpuImages().filter((name) => /^cuda-\d+\.img$/.test(name))).toHaveLength(members.length);
    const pages = readdirSync(machine.imagesDir).filter((name) => name.startsWith('pages-'));
    const pageBytes = pages.reduce((sum, name) => sum + statSync(join(machine.imagesDir, name)).size, 0);
    expect(pageBytes).toBeLessThan(members.length * (bytes + (16 << 20)));

    const restored = await restore();
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(await Promise.all(members.map((who) => snapshot(workload, who)))).toEqual(before);
    expect(await workload.ask('status')).toContain('mismatch=0');
  });

  it('restores one image twice, and the second process can be dumped again', async () => {
    const workload = await start();
    const before = await snapshot(workload);
    await dump(workload);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    await machine.kill(workload.pid);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    const again = await machine.dumpPid(workload.pid, { libdir });
    expect(again.exitCode, again.log.slice(-2000)).toBe(0);
    await machine.kill(workload.pid);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });

  it('leaves the memory of a process without the interceptor to the driver', async () => {
    const workload = await machine.start({ args: ARGS });
    const before = await snapshot(workload);
    expect((await dump(workload, { env: { CRIU_CUDA_STORAGE: 'off' } })).exitCode).toBe(0);
    expect(gpuImages()).toEqual([]);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });

  it('leaves the memory to the driver when CRIU_CUDA_PARALLEL_RESTORE is 0', async () => {
    const workload = await start();
    const before = await snapshot(workload);
    expect((await dump(workload, { env: { CRIU_CUDA_PARALLEL_RESTORE: '0' } })).exitCode).toBe(0);
    expect(gpuImages()).toEqual([]);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });

  it('keeps an application under the interceptor dumpable by variant stock', async () => {
    const workload = await start();
    const before = await snapshot(workload);
    expect((await machine.dump(workload)).exitCode).toBe(0);
    expect((await machine.restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });
});

describe('rollback', () => {
  it.each([
    ['--leave-running', ['--leave-running'], 0],
    ['a failing post-dump script', ['--action-script', 'SCRIPT'], 1],
  ])('%s: the process gets its memory back', async (_name, words, failed) => {
    const script = join(machine.dir, 'fail.sh');
    writeFileSync(script, '#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] && exit 7\nexit 0\n', {
      mode: 0o755,
    });
    const workload = await start();
    const before = await snapshot(workload);
    const dumped = await dump(workload, { args: words.map((word) => (word === 'SCRIPT' ? script : word)) });
    expect(dumped.exitCode === 0 ? 0 : 1).toBe(failed);
    expect(await snapshot(workload)).toBe(before);
    expect(await machine.state(workload.pid)).toBe('running');
    // It owns its memory: the next dump works like the first.
    expect((await dump(workload)).exitCode).toBe(0);
    expect((await restore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });

  it('a kernel that does not end: the dump fails at the timeout, nothing is lost', async () => {
    const workload = await start();
    const before = await snapshot(workload);
    await workload.ask('spin start');
    const dumped = await dump(workload, { env: { CRIU_CUDA_LOCK_TIMEOUT_MS: '300' } });
    expect(dumped.exitCode).not.toBe(0);
    expect(await workload.ask('spin stop')).toBe('ok');
    expect(await snapshot(workload)).toBe(before);
  });

  it.each(['Lock', 'Checkpoint'])("the driver's %s fails after the memory was evicted", async (call) => {
    const workload = await start();
    const before = await snapshot(workload);
    const dumped = await dump(workload, { env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:800` } });
    expect(dumped.exitCode).not.toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });
});

describe('a damaged image is refused, and no process of it runs', () => {
  const manifest = (): string => gpuImages().find((name) => /^cuda-\d+\.img$/.test(name)) ?? '';
  const stripe = (): string => gpuImages().find((name) => /^cuda-\d+-\d+\.img$/.test(name)) ?? '';

  function flip(name: string, offset: number): void {
    const fd = openSync(join(machine.imagesDir, name), 'r+');
    const byte = Buffer.alloc(1);
    readSync(fd, byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 1;
    writeSync(fd, byte, 0, 1, offset);
    closeSync(fd);
  }

  it.each([
    [
      'short stripe',
      () => {
        truncateSync(join(machine.imagesDir, stripe()), 4096);
      },
      stripe,
    ],
    [
      'missing stripe',
      () => {
        renameSync(join(machine.imagesDir, stripe()), join(machine.dir, 'gone'));
      },
      () => 'cuda-',
    ],
    [
      'flipped byte in the manifest',
      () => {
        flip(manifest(), 60);
      },
      manifest,
    ],
  ])('%s', async (_name, damage, named) => {
    const workload = await start();
    await dump(workload);
    const name = named();
    damage();
    const restored = await restore();
    expect(restored.exitCode).not.toBe(0);
    expect(restored.log).toContain(name);
    expect([undefined, 'Z']).toContain(readStat(workload.pid)?.state);
  });

  it('flipped byte in a stripe: found while loading, the process is killed', async () => {
    const workload = await start();
    await dump(workload);
    flip(stripe(), 12345);
    const restored = await restore();
    expect(restored.exitCode).not.toBe(0);
    expect(restored.log).toMatch(new RegExp(`cuda_plugin: .*${stripe()}.* damaged`));
    await expect.poll(() => readStat(workload.pid)?.state ?? 'gone').toMatch(/Z|gone/);
  });

  it('variant stock refuses an image whose memory it cannot load', async () => {
    const workload = await start();
    await dump(workload);
    const restored = await machine.restore();
    expect(restored.exitCode).not.toBe(0);
    expect(restored.log).toMatch(/this variant cannot (?:restore the host|load the GPU) memory in cuda-/);
  });
});
