// SPDX-License-Identifier: MIT
/** Standby processes: restored ahead of time, they are stopped until they are woken. */
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { opStatusPath } from '../../../lib/criu/index.ts';
import { UsageError } from '../../../lib/errors.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { type PluginVariant, usesInterceptor, variantDir } from '../../../lib/variant.ts';
import {
  isAlive,
  killTreeNow,
  readChildren,
  readProcessTree,
  readStat,
  waitForExit,
  wakeTree,
} from '../../../lib/process/index.ts';
import { restore, wake, type RestoredProcess } from '../../../lib/restore/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { killUncollected, Machine } from '../../helpers/machine.ts';

const variants: readonly PluginVariant[] = ['stock', 'remap', 'parallel', 'full'];
const members = ['', 'child 0 '];

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const start = (variant: PluginVariant): Promise<Workload> =>
  machine.start({
    args: ['--alloc', '8Mx3', '--alloc', '1M', '--host', '2M', '--children', '1'],
    env: usesInterceptor(variant) ? { LD_PRELOAD: interceptorLibrary() } : {},
  });

const snapshot = (workload: Workload): Promise<string[]> =>
  Promise.all(members.map(async (who) => `${await workload.verify(who)} ${await workload.addresses(who)}`));

async function standBy(
  workload: Workload,
  variant: PluginVariant,
  extraArgs: string[] = [],
  leaveStopped = true,
): Promise<RestoredProcess> {
  const libdir = variantDir(variant);
  const dumped = await machine.dump(workload, { libdir });
  expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
  return restore({
    imagesDir: machine.imagesDir,
    libdir,
    criu: criuProgram(),
    env: machine.env,
    extraArgs,
    leaveStopped,
  });
}

const states = (workload: Workload): string[] => readProcessTree(workload.pid).map(({ state }) => state);

const statusFiles = (): string[] => readdirSync(machine.runDir).filter((name) => name.startsWith('op-'));

describe.each(variants)('%s', (variant) => {
  it('is stopped until it is woken, and then has all its memory', async () => {
    if (variant === 'full') await machine.startPool();
    const workload = await start(variant);
    const tree = readProcessTree(workload.pid).map(({ pid }) => pid);
    const before = await snapshot(workload);
    const standby = await standBy(workload, variant);
    expect(standby.result.tasks.map(({ outcome }) => outcome)).toEqual(['restored', 'restored']);
    expect(states(workload)).toEqual(['T', 'T']);
    expect((await standby.wake()).pids).toEqual(tree.toReversed());
    expect(await snapshot(workload)).toEqual(before);
    expect(statusFiles()).toEqual([]);
    expect((await standby.wake()).pids).toEqual([]);
  });

  it('ends without having been woken, and frees its device memory', async () => {
    const free = async () => (await machine.poolStatus()).devices.map((device) => device.freeBytes);
    if (variant === 'full') await machine.startPool();
    const before = variant === 'full' ? await free() : [];
    const workload = await start(variant);
    const standby = await standBy(workload, variant);
    await standby.kill();
    expect(readProcessTree(workload.pid)).toEqual([]);
    expect(statusFiles()).toEqual([]);
    if (variant === 'full') await expect.poll(free).toEqual(before);
  });

  it('cannot be dumped while it is stopped; the attempt does no harm', async () => {
    const workload = await start(variant);
    const before = await snapshot(workload);
    process.kill(workload.pid, 'SIGSTOP');
    await expect.poll(() => readStat(workload.pid)?.state).toBe('T');
    const { imagesDir, env } = machine;
    const attempt = checkpoint({
      pid: workload.pid,
      imagesDir,
      libdir: variantDir(variant),
      criu: criuProgram(),
      env,
    });
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_CHECKPOINT_REFUSED',
      message: expect.stringContaining(`${workload.pid} is stopped by a signal`) as string,
      hint: expect.stringContaining('kill -CONT') as string,
    });
    // as before, once criu has detached; its child runs
    await expect.poll(() => readProcessTree(workload.pid)[0]?.state).toBe('T');
    expect(wakeTree(workload.pid)).toEqual([workload.pid]);
    expect(await snapshot(workload)).toEqual(before);
  });
});

it("works with criu's own option, too, and leaves nothing when it is killed", async () => {
  const workload = await start('parallel');
  const standby = await standBy(workload, 'parallel', ['--leave-stopped'], false);
  killTreeNow(workload.pid);
  expect(await standby.wait()).toMatchObject({ kind: 'signaled', signal: 9 });
  expect(statusFiles()).toEqual([]);
});

it('cannot be woken when it has ended', async () => {
  const workload = await start('stock');
  const standby = await standBy(workload, 'stock');
  await killUncollected(workload.pid);
  await expect(standby.wake()).rejects.toMatchObject({ code: 'ERR_WAKE' });
  expect(readProcessTree(workload.pid)).toEqual([]);
});

it('can be killed although another operation left a damaged status file', async () => {
  const workload = await start('parallel');
  const standby = await standBy(workload, 'parallel');
  writeFileSync(opStatusPath(machine.runDir, 1), 'nonsense\n');
  await standby.kill();
  expect(readProcessTree(workload.pid)).toEqual([]);
});

it('does not exist when criu fails: it is cleaned up like any restore', async () => {
  const workload = await start('parallel');
  const script = machine.actionScript('pre-resume', 'kill -9 $PPID');
  await expect(standBy(workload, 'parallel', script)).rejects.toThrow();
  expect(readProcessTree(workload.pid)).toEqual([]);
  expect(statusFiles()).toEqual([]);
});

describe('before the pool daemon has handed over any memory', () => {
  let daemon: number;
  let workload: Workload;
  let before: string[];
  let standby: RestoredProcess;

  beforeEach(async () => {
    ({ pid: daemon } = await machine.startPool());
    workload = await start('full');
    before = await snapshot(workload);
    // a task runs for an instant before it stops; the daemon must not hand it any memory then
    standby = await standBy(workload, 'full', machine.actionScript('pre-resume', `kill -STOP ${daemon}`));
  });

  async function expectWokenByHelper(): Promise<void> {
    expect((await standby.wake()).tasks.map(({ outcome }) => outcome)).toEqual(['restored', 'restored']);
    expect(await snapshot(workload)).toEqual(before);
  }

  it('a standby is woken by its root, not by a child', async () => {
    const [child = 0] = readChildren(workload.pid);
    await expect(wake(child, { runDir: machine.runDir })).rejects.toThrow(UsageError);
    expect(states(workload)).toEqual(['T', 'T']);
    process.kill(daemon, 'SIGCONT');
    expect((await standby.wake()).pids).toHaveLength(2);
    expect(await snapshot(workload)).toEqual(before);
  });

  it('it dies: a helper loads the memory', async () => {
    await machine.kill(daemon);
    await expectWokenByHelper();
  });

  it('it gets SIGTERM, waits for the standby, and gets it again: a helper loads the memory', async () => {
    process.kill(daemon, 'SIGCONT');
    const sockets = () => readdirSync(machine.runDir).filter((name) => name.startsWith('pool'));
    process.kill(daemon, 'SIGTERM');
    await expect.poll(sockets).not.toContain('pool.sock');
    expect(isAlive(daemon)).toBe(true);
    process.kill(daemon, 'SIGTERM');
    await waitForExit(daemon);
    await expectWokenByHelper();
  });

  it('it dies, and the images are gone too: wake reports it, and nothing keeps running', async () => {
    for (const name of readdirSync(machine.imagesDir))
      if (/^cuda-\d/.test(name)) rmSync(join(machine.imagesDir, name));
    await machine.kill(daemon);
    await expect(standby.wake()).rejects.toMatchObject({ code: 'ERR_WAKE' });
    expect(readProcessTree(workload.pid)).toEqual([]);
  });
});
