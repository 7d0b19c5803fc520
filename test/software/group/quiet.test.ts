// SPDX-License-Identifier: MIT
/** All gates of a tree close before one process gives its memory away, and open when all have theirs. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { isAlive, readProcessTree } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Collectives, gatedOf } from '../../helpers/collectives.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitUntil, waitUntilFree } from '../../helpers/wait.ts';

/** How often two ranks are stopped at a random moment; 200 by hand. */
const ROUNDS = Number(process.env.GROUP_ROUNDS ?? 3);
/** Work that waits for another process may need many tries on a busy machine. */
const PATIENT = { CRIU_CUDA_LOCK_TIMEOUT_MS: '120000' };

let machine: ParallelMachine;
let ranks: Collectives | undefined;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '4' });
});
afterEach(async () => {
  await ranks?.close();
  ranks = undefined;
  await machine.close();
});

const random = (below: number): number => Math.floor(Math.random() * below);

/** Dumps and ends the ranks, restores them, and waits until all have done more steps. */
async function dumpAndRestore(all: Collectives, libdir: string): Promise<void> {
  const { pids } = all;
  const dumped = await machine.dumpPid(all.pid, { libdir, env: PATIENT });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  await all.ended();
  await waitUntilFree(...pids);
  const restored = await machine.restore({ libdir });
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  await all.advance(20);
  expect(all.errors).toBe('');
  expect(gatedOf(pids)).toEqual([]);
}

describe.each(['parallel', 'full'] as const)('%s', (variant) => {
  const libdir = variantDir(variant);

  it(
    `two ranks are stopped at a random moment, ${ROUNDS} times, and lose no step`,
    { timeout: 60_000 + ROUNDS * 20_000 },
    async () => {
      ranks = await Collectives.start(machine, 2, 2);
      for (let round = 0; round < ROUNDS; round++) {
        await ranks.advance(random(40));
        const args = ['--leave-running'];
        const { exitCode, log, status } = await machine.dumpPid(ranks.pid, { libdir, args, env: PATIENT });
        expect(exitCode, errorsIn(log)).toBe(0);
        expect(status.filter(({ event }) => event === 'quiesce')).toMatchObject([
          { result: 0, processes: 2 },
        ]);
        await ranks.advance();
        expect(ranks.errors).toBe('');
      }
      await dumpAndRestore(ranks, libdir);
    },
  );

  it('eight ranks on four devices', async () => {
    ranks = await Collectives.start(machine, 8, 4);
    await dumpAndRestore(ranks, libdir);
  });
});

describe('a process whose work does not end', () => {
  it('all gates open again, and the dump is refused with the reason', async () => {
    ranks = await Collectives.start(machine, 3, 2);
    const { pids } = ranks;
    const before = await Promise.all(pids.map((pid) => machine.state(pid)));
    ranks.hold(1, true);
    const { exitCode, log, status } = await machine.dumpPid(ranks.pid, {
      libdir: variantDir('full'),
      env: { CRIU_CUDA_LOCK_TIMEOUT_MS: '500' },
    });
    expect(exitCode).not.toBe(0);
    expect(log).toMatch(/\d+: (work on a device does not end|a driver call does not return), within/);
    expect(log).toMatch(
      /CRIU_CUDA_LOCK_TIMEOUT_MS = 500; \d of 3 processes of its tree are quiet; all run on/,
    );
    expect(status.filter(({ event }) => event === 'evicting')).toEqual([]);
    await waitUntil(() => gatedOf(pids).length === 0);
    ranks.hold(1, false);
    await ranks.advance(20);
    expect(await Promise.all(pids.map((pid) => machine.state(pid)))).toEqual(before);
    await machine.expectNothingLeft();
    await dumpAndRestore(ranks, variantDir('full'));
  });
});

it('a pool that lacks the device of one process refuses the dump, and all run on', async () => {
  ranks = await Collectives.start(machine, 2, 2);
  const { pids } = ranks;
  const { exitCode, log } = await machine.dumpPid(ranks.pid, {
    libdir: variantDir('parallel'),
    env: { SOFTCUDA_DEVICES: '1' },
  });
  expect(exitCode).not.toBe(0);
  expect(log).toMatch(/device \d of the application is not visible to cuda-poold/);
  await waitUntil(() => gatedOf(pids).length === 0);
  await ranks.advance(20);
  expect(ranks.errors).toBe('');
  await machine.expectNothingLeft();
});

it('all gates are closed when the first process is asked for its memory', async () => {
  const tree = await machine.startIntercepted({}, ['--alloc', '4M', '--children', '2']);
  const members = ['', 'child 0 ', 'child 1 '];
  const verify = (): Promise<string[]> => Promise.all(members.map((who) => tree.verify(who)));
  const before = await verify();
  const pids = readProcessTree(tree.pid).map(({ pid }) => pid);
  let gated: number[] = [];
  const env = await faultPoint(machine.dir, 'pool:status:1:ask:"evicting"', () => {
    gated = gatedOf(pids);
    return Promise.resolve();
  });
  const { exitCode, log } = await machine.tryDump(tree, { args: ['--leave-running'], env });
  expect(exitCode, errorsIn(log)).toBe(0);
  expect(gated).toEqual(pids);
  expect(await verify()).toEqual(before);
  expect(gatedOf(pids)).toEqual([]);
});

describe('a restore', () => {
  const libdir = variantDir('parallel');
  let tree: Workload;
  let pids: number[];
  beforeEach(async () => {
    const env = { LD_PRELOAD: interceptorLibrary() };
    tree = await machine.start({ args: ['--alloc', '8M', '--children', '2', '--no-cuda-parent'], env });
    pids = readProcessTree(tree.pid).map(({ pid }) => pid);
    expect((await machine.dump(tree, { libdir })).exitCode).toBe(0);
  });

  it('runs none of the processes if one is killed before it has its memory', async () => {
    // it stays stopped after the restore, so its memory cannot be placed
    const [, first = 0, second = 0] = pids;
    const stop = machine.actionScript('pre-resume', `kill -STOP ${second}`);
    const { exitCode, log } = await machine.restore({ libdir, args: stop, keepStatus: true });
    expect(exitCode, errorsIn(log)).toBe(0);
    await waitUntil(() => gatedOf(pids).length === 2);
    expect(machine.readStatus().filter(({ event }) => event === 'attach')).toEqual([]);
    process.kill(second, 'SIGKILL');
    await waitUntil(() => !isAlive(first) && !isAlive(second));
  });

  it('opens all gates when the last process has its memory', async () => {
    const [, first = 0, second = 0] = pids;
    const stop = machine.actionScript('pre-resume', `kill -STOP ${second}`);
    const { exitCode, log } = await machine.restore({ libdir, args: stop, keepStatus: true });
    expect(exitCode, errorsIn(log)).toBe(0);
    const answer = tree.verify('child 0 ');
    await waitUntil(() => gatedOf([first, second]).length === 2);
    process.kill(second, 'SIGCONT');
    await answer;
    await tree.verify('child 1 ');
    expect(gatedOf(pids)).toEqual([]);
  });
});
