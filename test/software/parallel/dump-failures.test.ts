// SPDX-License-Identifier: MIT
/**
 * Everything that can end in the middle of a dump with variant `parallel`, at each step: the application runs again
 * with the same bytes, the attempt leaves nothing behind, and the next dump into the same directory works.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readStat } from '../../../lib/process/index.ts';
import type { CriuOptions, CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot, testTool } from '../../helpers/parallel.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let workload: Workload;
let before: string;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

async function start(env: Record<string, string> = {}): Promise<void> {
  workload = await machine.startIntercepted(env);
  before = await snapshot(workload);
}

async function failingDump(options: CriuOptions): Promise<CriuRun> {
  const dumped = await machine.tryDump(workload, options);
  expect(dumped.exitCode, errorsIn(dumped.log)).not.toBe(0);
  expect(existsSync(join(options.imagesDir ?? machine.imagesDir, 'inventory.img'))).toBe(false);
  return dumped;
}

async function expectRunningAsBefore(): Promise<void> {
  expect(await snapshot(workload)).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');
  await machine.expectNothingLeft();
}

/** Files that the failed attempt left in the directory do no harm. */
async function expectNextDumpWorks(): Promise<void> {
  const dumped = await machine.tryDump(workload);
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  const restored = await machine.tryRestore();
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
}

describe('the pool', () => {
  const steps = [
    ['starts', 'cuInit:1'],
    ['imports', 'cuMemImportFromShareableHandle:2'],
    ['maps', 'cuMemMap:2'],
    ['copies', 'cuMemcpyDtoHAsync:2'],
  ] as const;

  it.each(steps)('is killed while it %s', async (_name, call) => {
    await start();
    await failingDump({ env: { SOFTCUDA_FAIL: `${call}:kill` } });
    await expectRunningAsBefore();
    expect(machine.ownFiles()).toEqual([]);
    await expectNextDumpWorks();
  });

  it.each(steps)('gets an error of the driver while it %s', async (_name, call) => {
    await start();
    const dumped = await failingDump({ env: { SOFTCUDA_FAIL: `${call}:999` } });
    expect(errorsIn(dumped.log)).toMatch(/cuda-poold: .*(CUDA|driver|import|cannot map|GPU)/);
    await expectRunningAsBefore();
    expect(machine.ownFiles()).toEqual([]);
    await expectNextDumpWorks();
  });

  it('is killed when it should return the memory after --leave-running', async () => {
    await start();
    const dumped = await machine.tryDump(workload, {
      args: ['--leave-running'],
      env: { SOFTCUDA_FAIL: 'cuMemUnmap:1:kill' },
    });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    await expectRunningAsBefore();
  });
});

describe('criu', () => {
  it.each(['GetState', 'Lock', 'Checkpoint'])("is killed at the driver's %s", async (call) => {
    await start();
    await failingDump({ env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:kill` } });
    await expectRunningAsBefore();
    expect(machine.ownFiles()).toEqual([]);
    await expectNextDumpWorks();
  });

  it.each(['pre-dump', 'post-dump'])('is killed at %s', async (stage) => {
    await start();
    const dumped = await machine.tryDump(workload, { args: machine.actionScript(stage, 'kill -9 $PPID') });
    expect(dumped.exitCode).not.toBe(0);
    await expectRunningAsBefore();
    mkdirSync(join(machine.dir, 'again'));
    const imagesDir = join(machine.dir, 'again');
    expect((await machine.tryDump(workload, { imagesDir })).exitCode).toBe(0);
    expect((await machine.tryRestore({ imagesDir })).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });
});

describe('criu and its watcher', () => {
  it('are killed: the application ends as well, because nothing is left to return its memory', async () => {
    await start();
    const args = machine.actionScript('post-dump', 'kill -STOP $PPID');
    const dump = machine.dump(workload, { libdir: variantDir('parallel'), args, keepStatus: true });
    const criu = await waitUntil(() => machine.readStatus().find((e) => e.event === 'begin')?.criu);
    await waitUntil(() => readStat(criu)?.state === 'T');
    const watcher = machine.readStatus().find((e) => e.event === 'watcher')?.pid;
    process.kill(watcher ?? NaN, 'SIGKILL');
    process.kill(criu, 'SIGKILL');
    await expect(dump).rejects.toThrow();
    await workload.ended();
    await machine.expectNothingLeft();
  });
});

describe('a tree', () => {
  const members = ['', 'child 0 ', 'child 1 '];
  const snapshots = (): Promise<string[]> =>
    Promise.all(members.map(async (who) => `${await workload.verify(who)} ${await workload.addresses(who)}`));
  let all: string[];
  beforeEach(async () => {
    workload = await machine.startIntercepted({}, ['--alloc', '4Mx3', '--children', '2']);
    all = await snapshots();
  });

  it('gets its memory back once, even if the first attempt to return a process failed', async () => {
    await machine.tryDump(workload, {
      args: ['--leave-running'],
      env: { SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:2:999' },
      keepStatus: true,
    });
    expect(await snapshots()).toEqual(all);
    await machine.expectNothingLeft();
    const outcomes = machine
      .readStatus()
      .flatMap(({ event, outcome }) => (event === 'task' ? (outcome ?? []) : []));
    expect(outcomes.sort()).toEqual(['failed', 'rolled-back', 'rolled-back', 'rolled-back']);
  });

  it('gets its memory back after a child could not be seized at first, and was paused twice', async () => {
    const dumped = await machine.tryDump(workload, {
      args: machine.actionScript('post-dump', 'exit 7'),
      env: { LD_PRELOAD: testTool('fail-ptrace.so'), CCR_FAIL_PTRACE: 'seize' },
    });
    expect(dumped.log).toContain('Unable to interrupt task');
    expect(await snapshots()).toEqual(all);
    await machine.expectNothingLeft();
  });
});

describe('the application', () => {
  const steps = [
    ['exports', 'cuMemExportToShareableHandle:2'],
    ['unmaps', 'cuMemUnmap:2'],
    ['releases', 'cuMemRelease:2'],
  ] as const;

  it.each(steps)('is killed while it %s its memory: nothing is left of it', async (_name, call) => {
    const free = /free=(\d+)/;
    const other = await machine.start({ args: ['--alloc', '4M'] });
    const freeBefore = free.exec(await other.ask('mem'))?.[1];
    await start({ SOFTCUDA_FAIL: `${call}:kill` });
    await failingDump({});
    await workload.ended();
    await machine.expectNothingLeft();
    expect(free.exec(await other.ask('mem'))?.[1]).toBe(freeBefore);
  });

  it.each([
    ['exports', 'cuMemExportToShareableHandle:1'],
    ['unmaps', 'cuMemUnmap:2'],
  ])('gets an error of the driver while it %s its memory', async (_name, call) => {
    await start({ SOFTCUDA_FAIL: `${call}:999` });
    const dumped = await failingDump({});
    expect(errorsIn(dumped.log)).toContain('CUDA_ERROR_UNKNOWN');
    await expectRunningAsBefore();
    await expectNextDumpWorks();
  });

  it('has GPU work that does not end', async () => {
    await start();
    await workload.ask('spin start');
    const dumped = await failingDump({ env: { CRIU_CUDA_LOCK_TIMEOUT_MS: '300' } });
    expect(errorsIn(dumped.log)).toContain('work on a device does not end');
    expect(await machine.state(workload.pid)).toBe('running');
    expect(await workload.ask('spin stop')).toBe('ok');
    await expectRunningAsBefore();
    await expectNextDumpWorks();
  });

  it('has GPU work that does not end, and criu is killed meanwhile: it keeps its memory', async () => {
    await start();
    await workload.ask('spin start');
    const env = { CRIU_CUDA_LOCK_TIMEOUT_MS: '5000' };
    const dump = machine.dump(workload, { libdir: variantDir('parallel'), env, keepStatus: true });
    await waitUntil(() => machine.readStatus().some((e) => e.event === 'evicting'));
    process.kill(machine.readStatus().find((e) => e.event === 'begin')?.criu ?? NaN, 'SIGKILL');
    await expect(dump).rejects.toThrow();
    const answers = await waitUntil(() => {
      const events = machine.readStatus();
      return events.some((e) => e.event === 'attach') && events;
    });
    expect(answers.find((e) => e.event === 'evict')?.result).not.toBe(0);
    expect(answers.find((e) => e.event === 'attach')?.result).toBe(0);
    expect(await workload.ask('spin stop')).toBe('ok');
    await expectRunningAsBefore();
  });
});

describe('the image store', () => {
  it('is full', async () => {
    await start();
    const imagesDir = join(machine.dir, 'small');
    mkdirSync(imagesDir);
    const mount = await execResult('mount', ['-t', 'tmpfs', '-o', 'size=16M', 'none', imagesDir]);
    expect(mount.exitCode, mount.stderr).toBe(0);
    try {
      const dumped = await failingDump({ imagesDir });
      expect(errorsIn(dumped.log)).toMatch(/cuda-poold: .*cuda-\d+-\d+\.img.*No space left on device/);
      await expectRunningAsBefore();
      expect(machine.ownFiles(imagesDir)).toEqual([]);
    } finally {
      await execResult('umount', ['-l', imagesDir]);
    }
    await expectNextDumpWorks();
  });

  it.each([
    ['refuses a write', 'pwrite:3'],
    ['reports at the end of a stripe, when it is synced, that not all was stored', 'fsync:2'],
    ['reports at the end of a stripe, when it is closed, that not all was stored', 'close:2'],
  ])('%s', async (_name, rule) => {
    await start();
    const dumped = await failingDump({
      env: { LD_PRELOAD: testTool('fail-io.so'), CCR_FAIL_IO: rule, CRIU_CUDA_SYNC: '1' },
    });
    expect(errorsIn(dumped.log)).toMatch(/cuda-poold: .*cuda-\d+-\d+\.img.*Input\/output error/);
    await expectRunningAsBefore();
    expect(machine.ownFiles()).toEqual([]);
    await expectNextDumpWorks();
  });
});
