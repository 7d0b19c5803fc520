// SPDX-License-Identifier: MIT
/** A criu that is killed, told to end, or refused by a script: afterwards the program is what it was. */
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildDir, interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir, type PluginVariant } from '../../../lib/variant.ts';
import { readStat, readThreadState, waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { programMappings } from '../../helpers/host-memory.ts';
import { Machine, type CriuRun } from '../../helpers/machine.ts';
import {
  expectRolledBack,
  expectSame,
  fingerprint,
  sockets,
  type Fingerprint,
} from '../../helpers/same-program.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
let workload: Workload;
let before: Fingerprint;

beforeEach(() => {
  machine = new Machine({ SOFTCUDA_MEMORY_MB: '1024' });
});
afterEach(() => machine.close());

async function start(args: string[], env: Record<string, string> = {}): Promise<void> {
  workload = await machine.start({ args, env });
  await workload.verify(); // the program's own buffers exist from now on
  before = await fingerprint(workload);
}

const expectAsBefore = (grows = false): Promise<void> => expectSame(machine, workload, before, grows);

/** The restore thread, which the driver uses. */
function restoreThread(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map(Number);
  return threads.find((tid) => readThreadState(pid, tid) !== 't') ?? 0;
}

/** Starts a dump, and does something to criu while the driver's Checkpoint is in progress. */
async function duringCheckpoint(variant: 'stock' | 'remap', act: (criu: number) => void): Promise<void> {
  const dump = machine
    .dump(workload, { libdir: variantDir(variant), keepStatus: true })
    .catch(() => undefined);
  const criu = await waitUntil(
    () =>
      machine.readStatus().some(({ step }) => step === 'lock') &&
      readThreadState(workload.pid, workload.pid) === 't' &&
      restoreThread(workload.pid) !== 0 &&
      machine.readStatus().find(({ event }) => event === 'begin')?.criu,
    { interval: 1 },
  );
  act(criu);
  await dump;
}

describe.each(['stock', 'remap'] as const)('%s: during the driver checkpoint', (variant) => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)('criu gets %s', async (signal) => {
    await start(['--alloc', '600M']);
    await duringCheckpoint(variant, (criu) => process.kill(criu, signal));
    await expectAsBefore();
    await expectRolledBack(machine);
  });
});

describe.each(['stock', 'remap', 'parallel', 'full'] as const)(
  '%s: after the memory was saved',
  (variant) => {
    const env = { LD_PRELOAD: interceptorLibrary() };
    const args = ['--alloc', '8Mx4', '--alloc', '1M', '--host', '20M', '--pinned', '4M', '--kinds'];

    it.each([
      ['a post-dump script fails', 'exit 7'],
      ['criu is killed by a post-dump script', 'kill -9 $PPID'],
    ])('%s', async (_, command) => {
      const intercepted = variant === 'parallel' || variant === 'full';
      await start(args, intercepted ? env : {});
      const dump = machine.dump(workload, {
        libdir: variantDir(variant),
        args: machine.actionScript('post-dump', command),
        keepStatus: true,
      });
      await dump.catch(() => undefined);
      await expectAsBefore(intercepted);
      await expectRolledBack(machine);
      expect(await workload.ask('kinds')).toContain('ok ');
      expect(await workload.ask('kinds drop'), 'private memory is dropped to zeroes').toBe('ok');
      expect(await workload.ask('kinds share'), 'shared memory is seen by a child').toBe('ok');
    });
  },
);

/** Dumps, and kills the watcher as soon as the driver has made its checkpoint: before host memory is saved. */
async function withoutWatcher(variant: 'remap' | 'full', args: string[]): Promise<CriuRun | undefined> {
  let watcher = 0;
  const env = await faultPoint(machine.dir, 'criu:status:1:ask:"checkpoint"', async () => {
    watcher = machine.readStatus().find(({ event }) => event === 'watcher')?.pid ?? 0;
    expect(watcher).toBeGreaterThan(1);
    process.kill(watcher, 'SIGKILL');
    await waitUntil(() => (readStat(watcher)?.state ?? 'Z') === 'Z');
  });
  const run = await machine
    .dump(workload, { libdir: variantDir(variant), args, env, keepStatus: true })
    .catch(() => undefined);
  const watchers = machine.readStatus().filter(({ event }) => event === 'watcher');
  expect(watchers.slice(0, 2).map(({ pid }) => pid === watcher)).toEqual([true, false]);
  return run;
}

describe.each(['remap', 'full'] as const)('%s: the watcher is killed, criu is not', (variant) => {
  const env = variant === 'full' ? { LD_PRELOAD: interceptorLibrary() } : {};
  const args = ['--alloc', '8Mx4', '--host', '200M', '--pinned', '4M'];

  it('a dump that leaves the program running succeeds', async () => {
    await start(args, env);
    const dump = await withoutWatcher(variant, ['--leave-running']);
    expect(dump?.exitCode, dump?.log).toBe(0);
    await expectAsBefore(variant === 'full');
    await expectRolledBack(machine);
  });

  it('the next watcher returns the program when criu is killed too', async () => {
    await start(args, env);
    await withoutWatcher(variant, machine.actionScript('post-dump', 'kill -9 $PPID'));
    await expectAsBefore(variant === 'full');
    await expectRolledBack(machine);
  });
});

/** Starts a dump whose post-dump script stops criu and then fails. */
async function untilScript(
  variant: PluginVariant,
): Promise<{ criu: number; watcher: number; dump: Promise<CriuRun> }> {
  await start(
    ['--alloc', '8M', '--host', '20M'],
    variant === 'parallel' ? { LD_PRELOAD: interceptorLibrary() } : {},
  );
  const dump = machine.dump(workload, {
    libdir: variantDir(variant),
    args: machine.actionScript('post-dump', 'kill -STOP $PPID; exit 7'),
    keepStatus: true,
  });
  dump.catch(() => undefined); // it is looked at later
  const criu = await waitUntil(() => machine.readStatus().find(({ event }) => event === 'begin')?.criu);
  await waitUntil(() => readThreadState(criu, criu) === 'T');
  const watcher = machine.readStatus().find(({ event }) => event === 'watcher')?.pid ?? 0;
  return { criu, watcher, dump };
}

it.each(['stock', 'remap', 'parallel'] as const)(
  '%s: the watcher is killed while a post-dump script runs that fails: another one returns the program',
  async (variant) => {
    const { criu, watcher, dump } = await untilScript(variant);
    process.kill(watcher, 'SIGKILL');
    await waitFor(() => {
      expect(readStat(watcher)?.state ?? 'Z').toBe('Z');
    });
    process.kill(criu, 'SIGCONT');
    await dump.catch(() => undefined);
    await expectAsBefore(variant === 'parallel');
    await expectRolledBack(machine);
  },
);

it.each([
  { variant: 'stock', what: 'that only the driver could bring back' },
  { variant: 'remap', what: 'whose memory is empty' },
  { variant: 'parallel', what: 'whose device memory is in the pool' },
] as const)('$variant: criu and its watcher are killed: a program $what is killed', async ({ variant }) => {
  const { criu, watcher, dump } = await untilScript(variant);
  process.kill(watcher, 'SIGKILL');
  process.kill(criu, 'SIGKILL');
  await expect(dump).rejects.toThrow('was killed by SIGKILL');
  await workload.ended();
});

it.each(['stock', 'remap', 'parallel'] as const)(
  '%s: criu and the program are killed, and another program gets its pid: the watcher does nothing to that one',
  async (variant) => {
    const { criu, watcher, dump } = await untilScript(variant);
    const { pid } = workload;
    process.kill(watcher, 'SIGSTOP'); // it learns of all this too late
    process.kill(pid, 'SIGKILL');
    process.kill(criu, 'SIGKILL');
    await expect(dump).rejects.toThrow('was killed by SIGKILL');
    await workload.ended();

    const other = await machine.start({
      args: ['--alloc', '8M', '--host', '20M'],
      env: variant === 'parallel' ? { LD_PRELOAD: interceptorLibrary() } : {},
      under: [join(buildDir(), 'test-tools', 'with-pid'), String(pid)],
    });
    const memory = [await other.verify(), await other.addresses()];
    // as its operator wants it to be
    for (const action of ['lock', 'checkpoint']) expect((await machine.action(pid, action)).exitCode).toBe(0);
    const maps = programMappings(pid);
    process.kill(watcher, 'SIGCONT');
    await waitFor(() => {
      expect(readStat(watcher)?.state ?? 'Z').toBe('Z');
    });
    expect(await machine.state(pid)).toBe('checkpointed');
    expect(programMappings(pid)).toEqual(maps);
    for (const action of ['restore', 'unlock']) expect((await machine.action(pid, action)).exitCode).toBe(0);
    expect([await other.verify(), await other.addresses()]).toEqual(memory);
  },
);

it('a process of the tree is killed and its pid used again while the watcher fills another: it is left alone', async () => {
  await start(['--alloc', '4M', '--host', '20M', '--children', '1']);
  const pid = Number(/pid=(\d+)/.exec(await workload.ask('child 0 status'))?.[1]);
  let other: Workload | undefined;
  let memory: string[] = [];
  let maps: unknown;
  const env = await faultPoint(machine.dir, 'watcher:memory:1:ask:', async (watcher) => {
    expect(readStat(watcher)?.comm).toMatch(/^cuda-watcher/);
    process.kill(workload.pid, 'SIGKILL'); // the watcher traces it, and keeps its pid
    await waitUntil(() => readStat(pid)?.ppid === process.pid);
    process.kill(pid, 'SIGKILL');
    await waitForExit(pid);
    other = await machine.start({
      args: ['--alloc', '4M', '--host', '20M'],
      under: [join(buildDir(), 'test-tools', 'with-pid'), String(pid)],
    });
    memory = [await other.verify(), await other.addresses()];
    maps = programMappings(pid);
    process.kill(pid, 'SIGSTOP'); // as the watcher expects it of the other
    await waitUntil(() => readStat(pid)?.state === 'T');
  });
  const dump = machine.dump(workload, {
    libdir: variantDir('remap'),
    args: machine.actionScript('post-dump', 'kill -9 $PPID'),
    env,
    keepStatus: true,
  });
  await expect(dump).rejects.toThrow('was killed by SIGKILL');
  const watcher = machine.readStatus().find(({ event }) => event === 'watcher')?.pid ?? 0;
  await waitFor(() => {
    expect(readStat(watcher)?.state ?? 'Z').toBe('Z');
  });
  expect(readStat(pid)?.state).toBe('T');
  expect(programMappings(pid)).toEqual(maps);
  process.kill(pid, 'SIGCONT');
  expect(await machine.state(pid)).toBe('running');
  expect([await other?.verify(), await other?.addresses()]).toEqual(memory);
});

describe('criu is killed', () => {
  // populating, then making a scratch page, passing the page file, emptying
  it.each([1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28])(
    'at step %i of an injection',
    async (step) => {
      await start(['--alloc', '48M', '--host', '20M', '--pinned', '4M']);
      const env = {
        LD_PRELOAD: join(buildDir(), 'test-tools', 'fail-ptrace.so'),
        CCR_FAIL_PTRACE: `${step}:kill`,
      };
      const open = sockets(workload.pid);
      const dump = machine.dump(workload, { libdir: variantDir('remap'), env });
      await expect(dump).rejects.toThrow('was killed by SIGKILL');
      await expectAsBefore();
      await waitFor(() => {
        expect(sockets(workload.pid).filter((socket) => !open.includes(socket))).toEqual([]);
      });
    },
  );
});

/** Kills the process that is at the fault point. */
async function killAtFaultPoint(dir: string): Promise<() => void> {
  writeFileSync(join(dir, 'counts'), Buffer.alloc(4096));
  const server = createServer((socket) => {
    socket.on('error', () => undefined); // it was killed
    socket.once('data', (line) => {
      process.kill(Number(line.toString().trim().split(' ')[1]), 'SIGKILL');
    });
  });
  server.listen(join(dir, 'socket'));
  await once(server, 'listening');
  return () => server.close();
}

it.each(['remap', 'full'] as const)(
  '%s: criu is killed while its parasite has changed the protection of memory',
  async (variant) => {
    await start(
      ['--alloc', '8M', '--host', '20M'],
      variant === 'full' ? { LD_PRELOAD: interceptorLibrary() } : {},
    );
    const close = await killAtFaultPoint(machine.dir);
    const env = {
      LD_PRELOAD: join(buildDir(), 'test-tools', 'fault-points.so'),
      CCR_FAULT_DIR: machine.dir,
      CCR_FAULT: 'criu:log:1:ask:Transferring pages',
    };
    const dump = machine.dump(workload, { libdir: variantDir(variant), env, keepStatus: true });
    await expect(dump).rejects.toThrow('was killed by SIGKILL');
    close();
    await expectRolledBack(machine);
    await waitFor(async () => {
      expect(await machine.state(workload.pid)).toBe('running');
    });
    expect(await workload.verify()).toBe(before.memory);
  },
);
