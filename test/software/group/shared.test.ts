// SPDX-License-Identifier: MIT
/** Processes that share device memory are dumped and restored as one, and share it afterwards. */
import { readdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { keptBy, Ranks } from '../../helpers/ranks.ts';
import { threadNames } from '../../helpers/same-program.ts';
import { waitUntil, waitUntilFree } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
});
afterEach(async () => {
  await machine.close();
});

const parallel = variantDir('parallel');
const full = variantDir('full');

async function dump(ranks: Ranks, libdir: string): Promise<void> {
  const { exitCode, log } = await machine.dump(ranks.workload, { libdir });
  expect(exitCode, errorsIn(log)).toBe(0);
  await waitUntilFree(ranks.pid, ...ranks.pids);
}

async function restore(ranks: Ranks, libdir: string): Promise<void> {
  const { exitCode, log } = await machine.restore({ libdir });
  expect(exitCode, errorsIn(log)).toBe(0);
  await ranks.check();
}

async function end(ranks: Ranks): Promise<void> {
  await machine.kill(ranks.pid);
  await waitUntilFree(ranks.pid, ...ranks.pids);
}

/** The keeper runs again, and the program's table has no descriptor of ours, once both sides have closed what they used. */
async function expectKept(ranks: Ranks, before: readonly ReturnType<typeof keptBy>[]): Promise<void> {
  await waitUntil(() =>
    ranks.pids.every((pid, rank) => {
      const [now, then] = [keptBy(pid), before[rank]];
      return now.threads.join() === then?.threads.join() && now.descriptors <= then.descriptors;
    }),
  );
}

describe.each([
  ['parallel', parallel, ['--ranks', '2', '--devices', '2']],
  ['full', full, ['--ranks', '3', '--devices', '2', '--lead']],
] as const)('%s', (_variant, libdir, args) => {
  it('one image is restored three times, and what was restored is dumped again', async () => {
    const ranks = await Ranks.start(machine, args);
    const before = ranks.pids.map(keptBy);
    expect(before[0]?.threads).toEqual(['criu-cuda-keep', 'criu-cuda-svc']);
    await dump(ranks, libdir);
    for (let round = 0; round < 3; round++) {
      await restore(ranks, libdir);
      await expectKept(ranks, before);
      if (round < 2) await end(ranks);
    }
    await dump(ranks, libdir);
    await restore(ranks, libdir);
    await expectKept(ranks, before);
  });

  it('left running twice, and undone after a script that fails', async () => {
    const ranks = await Ranks.start(machine, args);
    const before = ranks.pids.map(keptBy);
    for (const undo of [false, true, false]) {
      const script = undo ? machine.actionScript('post-dump', 'exit 1') : [];
      const { exitCode, log } = await machine.dumpPid(ranks.pid, {
        libdir,
        args: ['--leave-running', ...script],
      });
      expect(exitCode === 0, errorsIn(log)).toBe(!undo);
      await ranks.check();
      await expectKept(ranks, before);
    }
    await dump(ranks, libdir);
    await restore(ranks, libdir);
  });
});

it('memory that has no room for a copy is returned as it is, next to memory that others import', async () => {
  // Of 256 MiB the pool holds 152; what is imported must be copied, but not what is in the same message.
  const ranks = await Ranks.start(machine, ['--devices', '2', '--alloc', '150']);
  const { exitCode, log } = await machine.dumpPid(ranks.pid, { libdir: parallel, args: ['--leave-running'] });
  expect(exitCode, errorsIn(log)).toBe(0);
  await ranks.check();
});

it.each([
  ['parallel', parallel],
  ['full', full],
])('%s: ranks that are connected by TCP run on after a dump that leaves them running', async (_v, libdir) => {
  const ranks = await Ranks.start(machine, ['--tcp']);
  const { exitCode, log } = await machine.dumpPid(ranks.pid, {
    libdir,
    args: ['--leave-running', '--tcp-established'],
  });
  expect(exitCode, errorsIn(log)).toBe(0);
  await ranks.check();
});

it('nothing of ours is in a process that CRIU dumps', async () => {
  const ranks = await Ranks.start(machine);
  const found: unknown[] = [];
  const env = await faultPoint(machine.dir, 'criu:image:1:ask:core-', () => {
    found.push(...ranks.pids.map((pid) => keptBy(pid).threads));
    return Promise.resolve();
  });
  const { exitCode, log } = await machine.dumpPid(ranks.pid, {
    libdir: parallel,
    args: ['--leave-running'],
    env,
  });
  expect(exitCode, errorsIn(log)).toBe(0);
  expect(found).toEqual([['criu-cuda-gated'], ['criu-cuda-gated']]);
  await ranks.check();
});

it('an import whose exporter is not in the tree is refused by name, before anything moves', async () => {
  const ranks = await Ranks.start(machine);
  const [, one = 0] = ranks.pids;
  for (const libdir of [parallel, full]) {
    const { exitCode, log, status } = await machine.dumpPid(one, { libdir, args: ['--leave-running'] });
    expect(exitCode).not.toBe(0);
    expect(log).toMatch(
      new RegExp(
        `${one} maps \\d+ bytes at 0x[0-9a-f]+ that belong to a process which is not dumped with it`,
      ),
    );
    expect(status.filter(({ event }) => event === 'evicting')).toEqual([]);
    await ranks.check();
  }
  await dump(ranks, parallel);
  await restore(ranks, parallel);
});

it('the image of an importer says where its memory is', async () => {
  const ranks = await Ranks.start(machine);
  await dump(ranks, parallel);
  const [zero = 0] = ranks.pids;
  for (const name of readdirSync(machine.imagesDir))
    if (name.startsWith(`cuda-${zero}`)) rmSync(`${machine.imagesDir}/${name}`);
  const { exitCode } = await machine.restore({ libdir: parallel });
  expect(exitCode).not.toBe(0);
  for (const pid of ranks.pids) await waitUntil(() => !isAlive(pid));
});

/** Steps at which the pool dies, while some of the ranks have given their memory away. */
describe.each([
  ['before the first rank gives its memory', 'pool:status:1:ask:"evicting"'],
  ['when one has given its memory, and the other has not', 'pool:status:2:ask:"evicting"'],
  ['while it saves', 'pool:status:1:ask:"evict"'],
])('the pool is killed %s', (_when, rule) => {
  it('all ranks get their memory back and share it', async () => {
    const ranks = await Ranks.start(machine);
    const env = await faultPoint(machine.dir, rule, (pid) => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    });
    await machine.dumpPid(ranks.pid, { libdir: parallel, args: ['--leave-running'], env });
    await ranks.check();
    await dump(ranks, parallel);
    await restore(ranks, parallel);
  });
});

it.each([2, 5, 7, 8, 9, 12])(
  'the pool is killed at its message %i of a restore: all ranks share their memory, or none runs',
  async (nth) => {
    const ranks = await Ranks.start(machine);
    await dump(ranks, parallel);
    const env = await faultPoint(machine.dir, `pool:message:${nth}:ask:`, (pid) => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    });
    await machine.restore({ libdir: parallel, env });
    await ranks.check().catch(() => waitUntil(() => ranks.pids.every((pid) => !isAlive(pid))));
  },
);

describe.each([0, 1])('rank %i is killed', (victim) => {
  it('during a restore: no rank runs', async () => {
    const ranks = await Ranks.start(machine);
    await dump(ranks, parallel);
    const stop = machine.actionScript('pre-resume', `kill -STOP ${ranks.pids[victim]}`);
    const { exitCode, log } = await machine.restore({ libdir: parallel, args: stop });
    expect(exitCode, errorsIn(log)).toBe(0);
    process.kill(ranks.pids[victim] ?? 0, 'SIGKILL');
    for (const pid of ranks.pids) await waitUntil(() => !isAlive(pid));
  });

  it('while its memory is saved: the other gets what it had', async () => {
    const ranks = await Ranks.start(machine);
    const pid = ranks.pids[victim] ?? 0;
    const env = await faultPoint(machine.dir, 'criu:image:1:ask:core-', () => {
      process.kill(pid, 'SIGKILL');
      return Promise.resolve();
    });
    const { exitCode } = await machine.dumpPid(ranks.pid, {
      libdir: parallel,
      args: ['--leave-running'],
      env,
    });
    expect(exitCode).not.toBe(0);
    const other = ranks.pids[1 - victim] ?? 0;
    await waitUntil(() => threadNames(other).includes('criu-cuda-svc'));
  });
});
