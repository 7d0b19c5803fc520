// SPDX-License-Identifier: MIT
/** What listContexts tells about processes in every state, and whose memory it says it is. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listContexts, type GpuContext } from '../../../lib/context/index.ts';
import { openDriver } from '../../../lib/gpu/index.ts';
import { backendNames } from '../../../lib/native/types.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { prefetchImages, stopPool } from '../../../lib/pool/index.ts';
import { readThreadState } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const MIB = 2 ** 20;
const ARGS = ['--alloc', '8Mx3', '--alloc', '2Mx5', '--alloc', '1M'];
const MOVED_BYTES = 34 * MIB;
const nobody = { operation: null, poolPid: null, criuPid: null };

// the libraries in this process read the environment once: one machine for all tests
let machine: Machine;
let imagesDir: string;
const workloads: Workload[] = [];
beforeAll(() => {
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  Object.assign(process.env, machine.env);
});
beforeEach(() => {
  imagesDir = mkdtempSync(join(machine.dir, 'images-'));
});
afterEach(async () => {
  for (const workload of workloads.splice(0)) await workload.kill();
  machine.takeStatus();
  if (existsSync(join(machine.runDir, 'control.sock'))) await stopPool({ runDir: machine.runDir });
});
afterAll(() => machine.close());

async function start(args?: readonly string[], env: Record<string, string> = {}): Promise<Workload> {
  const workload = await machine.start(args === undefined ? { env } : { args, env });
  workloads.push(workload);
  return workload;
}

const startIntercepted = (): Promise<Workload> => start(ARGS, { LD_PRELOAD: interceptorLibrary() });

async function contextOf(pid: number): Promise<GpuContext | undefined> {
  const { contexts } = await listContexts({ pid });
  expect(contexts.length).toBeLessThan(2);
  return contexts[0];
}

/** A script for CRIU that waits at a stage until it is let through. */
function barrier(stage: string): {
  args: string[];
  reached: () => Promise<unknown>;
  open: () => Promise<void>;
} {
  const [arrival, gate] = [join(imagesDir, 'arrival'), join(imagesDir, 'gate')];
  execFileSync('mkfifo', [gate]);
  return {
    args: machine.actionScript(stage, `touch '${arrival}'; read -r _ <'${gate}'`),
    reached: () => waitUntil(() => existsSync(arrival)),
    open: () => writeFile(gate, 'go\n'),
  };
}

describe.each(backendNames)('through the %s', (backend) => {
  it('a running program, locked and checkpointed', async () => {
    const { pid } = await start();
    const driver = await openDriver({ backend });
    const read = async (): Promise<GpuContext | undefined> =>
      (await listContexts({ pid, backend })).contexts[0];
    const running = await read();
    expect(running).toMatchObject({
      pid,
      deviceUuid: 'GPU-736f6674-6375-6461-0000-000100000000',
      mig: null,
      usedBytes: 28 * MIB,
      state: 'running',
      owner: { ...nobody, kind: 'application' },
      interceptor: null,
      isPrimary: null,
    });
    expect(running?.command).toMatch(/workload-pattern --alloc/);
    await driver.lock(pid);
    expect(await read()).toEqual({ ...running, state: 'locked' });
    await driver.checkpoint(pid);
    expect(await read()).toMatchObject({
      deviceUuid: null,
      state: 'checkpointed',
      owner: { ...nobody, kind: 'checkpointed' },
    });
    await driver.restore(pid);
    await driver.unlock(pid);
    expect(await read()).toEqual(running);
  });

  it('two processes, one under the interceptor; a third without CUDA is not listed', async () => {
    const { pid: plain } = await start();
    const { pid: intercepted } = await startIntercepted();
    const { contexts, pool } = await listContexts({ pid: [intercepted, process.pid, plain], backend });
    expect(contexts.map(({ pid }) => pid)).toEqual([plain, intercepted].sort((a, b) => a - b));
    const shown = contexts.find(({ pid }) => pid === intercepted)?.interceptor;
    expect(shown?.gate).toBe('open');
    expect(readThreadState(intercepted, shown?.tid ?? 0)).toBe('S');
    expect(pool).toBeNull();
    const all = (await listContexts({ backend })).contexts.map(({ pid }) => pid);
    expect(all).toEqual(expect.arrayContaining([plain, intercepted]));
    expect(all).not.toContain(process.pid);
  });

  it('a stopped program', async () => {
    const { pid } = await start();
    process.kill(pid, 'SIGSTOP');
    const { contexts } = await waitFor(async () => {
      const snapshot = await listContexts({ pid, backend });
      expect(snapshot.contexts[0]?.state).toBe('stopped');
      return snapshot;
    });
    expect(contexts).toMatchObject([{ pid, usedBytes: 28 * MIB, owner: { kind: 'application' } }]);
    process.kill(pid, 'SIGCONT');
  });

  it('none for a process that is gone', async () => {
    const workload = await start();
    await workload.kill();
    expect((await listContexts({ pid: workload.pid, backend })).contexts).toEqual([]);
  });
});

describe.each(['parallel', 'full'] as const)('with variant %s', (variant) => {
  const libdir = variantDir(variant);
  const isDaemon = variant === 'full';

  it('in a dump the pool has the memory, and criu is named', async () => {
    const daemon = isDaemon ? await machine.startPool() : undefined;
    const workload = await startIntercepted();
    const { pid } = workload;
    const { args, reached, open } = barrier('post-dump');
    const dump = machine.dump(workload, { imagesDir, libdir, args, keepStatus: true });
    await reached();
    const events = machine.readStatus();
    const poolPid = events.find(({ event }) => event === 'pool')?.pid ?? 0;
    const criuPid = (events.find(({ event }) => event === 'begin') as { criu?: number } | undefined)?.criu;
    const { contexts, pool } = await listContexts({ pid });
    expect(contexts).toMatchObject([
      { pid, owner: { kind: 'held', poolPid, criuPid }, interceptor: { gate: 'closed' } },
    ]);
    const operation = contexts[0]?.owner.operation ?? 0;
    expect(operation >>> 10).toBe(criuPid);
    if (daemon) {
      expect(poolPid).toBe(daemon.pid);
      expect(pool?.operations).toMatchObject([
        {
          kind: 'dump',
          state: 'held',
          operation,
          pid,
          criuPid,
          doneBytes: MOVED_BYTES,
          totalBytes: MOVED_BYTES,
        },
      ]);
      expect(pool?.contexts[0]?.memoryBytes).toBe(MOVED_BYTES);
    } else {
      expect(pool).toBeNull();
    }
    await open();
    expect((await dump).exitCode).toBe(0);
    expect(await contextOf(pid)).toBeUndefined();
    if (daemon) {
      await expect.poll(async () => (await machine.poolStatus()).operations).toEqual([]);
      expect((await machine.poolStatus()).contexts[0]?.memoryBytes).toBe(0);
    }
  });

  it('a dump that leaves the program running gives everything back', async () => {
    if (isDaemon) await machine.startPool();
    const workload = await startIntercepted();
    const before = await contextOf(workload.pid);
    const dumped = await machine.dump(workload, { imagesDir, libdir, args: ['--leave-running'] });
    expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
    await waitFor(async () => {
      expect(await contextOf(workload.pid)).toEqual(before);
    });
  });

  it('a standby is stopped, and the pool has its memory until it is woken', async () => {
    if (isDaemon) await machine.startPool();
    const workload = await startIntercepted();
    const { pid } = workload;
    const checksum = await workload.verify();
    expect((await machine.dump(workload, { imagesDir, libdir })).exitCode).toBe(0);
    const { env } = machine;
    const criu = criuProgram();
    const standby = await restore({ imagesDir, libdir, criu, env, leaveStopped: true });
    const shown = await contextOf(pid);
    expect(shown).toMatchObject({
      state: 'stopped',
      owner: { kind: 'standby' },
      interceptor: { gate: 'closed' },
    });
    if (isDaemon) {
      // it may have begun to take its memory when the stop reached it
      const state: unknown = expect.stringMatching(/^(?:ready|attaching)$/);
      await expect
        .poll(async () => (await machine.poolStatus()).operations)
        .toMatchObject([{ kind: 'restore', state, pid, doneBytes: MOVED_BYTES, totalBytes: MOVED_BYTES }]);
    }
    await standby.wake();
    expect(await contextOf(pid)).toMatchObject({
      state: 'running',
      owner: { ...nobody, kind: 'application' },
      interceptor: { gate: 'open' },
    });
    expect(await workload.verify()).toBe(checksum);
  });
});

describe('the pool', () => {
  it('has contexts with an overhead, and golden images in their memory', async () => {
    const { pid, streams, stagingBytes } = await machine.startPool();
    expect(streams).toBeGreaterThan(0);
    expect(stagingBytes).toBeGreaterThan(0);
    const idle = await listContexts();
    expect(idle.pool).toMatchObject({ pid, streams, stagingBytes, operations: [] });
    // contexts of the software driver take no device memory
    expect(idle.pool?.contexts).toMatchObject([
      { memoryBytes: 0, overheadBytes: 0 },
      { memoryBytes: 0, overheadBytes: 0 },
    ]);
    expect(idle.contexts.filter((context) => context.pid === pid)).toMatchObject([
      { deviceUuid: null, owner: { ...nobody, kind: 'pool', poolPid: pid }, isPrimary: true },
    ]);
    const workload = await startIntercepted();
    await machine.dump(workload, { imagesDir, libdir: variantDir('full') });
    await prefetchImages(imagesDir, { runDir: machine.runDir, golden: true });
    const { contexts, pool } = await listContexts();
    expect(pool?.contexts.map(({ memoryBytes }) => memoryBytes)).toEqual([MOVED_BYTES, 0]);
    const ours = contexts.filter((context) => context.pid === pid);
    expect(ours).toMatchObject([{ owner: { ...nobody, kind: 'pool', poolPid: pid }, isPrimary: true }]);
    expect(ours[0]?.usedBytes).toBeGreaterThanOrEqual(MOVED_BYTES);
  });
});

describe('the query', () => {
  it('takes little time for eight processes', async () => {
    for (let i = 0; i < 8; i++) await start(['--alloc', '2M']);
    const pid = workloads.map((workload) => workload.pid);
    // of the processor, which other programs on the machine do not make longer
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const before = process.cpuUsage();
      expect((await listContexts({ pid })).contexts).toHaveLength(8);
      const { user, system } = process.cpuUsage(before);
      times.push((user + system) / 1000);
    }
    // 1 ms is for a GPU (benchmarks/contexts.mjs): the software NVML reads /proc of every process of the machine
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length;
    expect(Math.min(...times)).toBeLessThan(10 + 0.2 * processes);
  });

  it('refuses what is not a pid', async () => {
    await expect(listContexts({ pid: -1 })).rejects.toThrow('-1 is not a pid');
    await expect(listContexts({ pid: [1, 0.5] })).rejects.toThrow('0.5 is not a pid');
  });

  it('gives up with the reason of its signal', async () => {
    await expect(listContexts({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });
});
