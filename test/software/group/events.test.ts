// SPDX-License-Identifier: MIT
/** Events that processes share by CUDA IPC are the same after a dump: what one records, the other waits for. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { EventPair } from '../../helpers/event-pair.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(async () => {
  await machine.close();
});

const parallel = variantDir('parallel');

async function dump(pair: EventPair, libdir = parallel): Promise<void> {
  const { exitCode, log } = await machine.dump(pair.workload, { libdir });
  expect(exitCode, errorsIn(log)).toBe(0);
  await waitUntilFree(pair.pid, ...pair.pids);
}

async function restore(libdir = parallel): Promise<void> {
  const { exitCode, log } = await machine.restore({ libdir });
  expect(exitCode, errorsIn(log)).toBe(0);
}

/** Both have the same file at one place. */
function expectShared(pair: EventPair): void {
  const [a, b] = pair.pages();
  expect(a).toHaveLength(1);
  expect(b).toEqual(a);
}

it.each(['parallel', 'full'] as const)(
  '%s: one image is restored three times, and dumped again',
  async (variant) => {
    const libdir = variantDir(variant);
    const pair = await EventPair.start(machine);
    await pair.share(1);
    await pair.check(1);
    // Recorded, and not yet waited for; and one whose handle is on its way.
    for (const step of ['fill 1 77', 'record 1 1', 'event 2', 'record 2 1', 'drain 1'])
      await pair.do(`a ${step}`);
    await dump(pair, libdir);
    for (let round = 0; round < 3; round += 1) {
      await restore(libdir);
      await pair.do('b open 2');
      for (const event of [1, 2]) {
        expect(await pair.do(`b query ${event}`)).toBe('0');
        for (const step of [`await 1 ${event}`, 'read 1', 'drain 1']) await pair.do(`b ${step}`);
        expect(await pair.do('b word')).toBe('77');
      }
      expectShared(pair);
      for (const event of [1, 2]) await pair.check(event);
      if (round < 2) {
        await machine.kill(pair.pid);
        await waitUntilFree(pair.pid, ...pair.pids);
      }
    }
    // Events whose owner has destroyed them, and which the other has open: PyTorch's consumer destroys none.
    for (const event of [1, 2]) await pair.do(`a destroy ${event}`);
    await dump(pair, libdir);
    await restore(libdir);
    for (const event of [1, 2]) expect(await pair.do(`b query ${event}`)).toBe('0');
    await pair.do('b destroy 1');
    await pair.share(3);
    await pair.check(3);
    expectShared(pair);
  },
);

it('left running, and undone after a script that fails', async () => {
  const pair = await EventPair.start(machine);
  await pair.share(1);
  for (const undo of [false, true, true, false]) {
    const script = undo ? machine.actionScript('post-dump', 'exit 1') : [];
    const { exitCode, log } = await machine.dumpPid(pair.pid, {
      libdir: parallel,
      args: ['--leave-running', ...script],
    });
    expect(exitCode === 0, errorsIn(log)).toBe(!undo);
    await pair.check(1);
    expectShared(pair);
  }
  await dump(pair);
  await restore();
  await pair.check(1);
});

it.each([
  ['before the first process gives its memory', 'pool:status:1:ask:"evicting"'],
  ['when one has, and the other has not', 'pool:status:2:ask:"evicting"'],
  ['when both have', 'criu:status:1:ask:"lock"'],
])('the pool is killed %s: they share their events as before', async (_when, rule) => {
  const pair = await EventPair.start(machine);
  await pair.share(1);
  let isHit = false;
  const env = await faultPoint(machine.dir, rule, () => {
    const pool = machine.readStatus().find(({ event }) => event === 'pool')?.pid ?? 0;
    expect(pool).toBeGreaterThan(1);
    process.kill(pool, 'SIGKILL');
    isHit = true;
    return Promise.resolve();
  });
  const run = await machine.tryDump(pair.workload, { args: ['--leave-running'], env, keepStatus: true });
  expect(isHit, errorsIn(run.log)).toBe(true);
  await pair.check(1);
  expectShared(pair);
});

it('no page is shared while CRIU dumps, and its addresses stay', async () => {
  const pair = await EventPair.start(machine);
  await pair.share(1);
  const found: string[] = [];
  const env = await faultPoint(machine.dir, 'criu:image:1:ask:core-', () => {
    found.push(...pair.pages().flat());
    found.push(
      ...pair.pids
        .map((pid) => readFileSync(`/proc/${pid}/maps`, 'utf8'))
        .filter((maps) => / rw-s .*memfd/.test(maps)),
    );
    return Promise.resolve();
  });
  const { exitCode, log } = await machine.dumpPid(pair.pid, {
    libdir: parallel,
    args: ['--leave-running'],
    env,
  });
  expect(exitCode, errorsIn(log)).toBe(0);
  expect(found).toEqual([]);
  await pair.check(1);
});

it('a process alone is refused by name before anything moves', async () => {
  const pair = await EventPair.start(machine);
  await pair.share(1);
  const reasons = [
    'a process outside the tree may have opened its events',
    'it has opened events of a process outside the tree',
  ];
  for (const [i, pid] of pair.pids.entries()) {
    const { exitCode, log, status } = await machine.dumpPid(pid, {
      libdir: parallel,
      args: ['--leave-running'],
    });
    expect(exitCode).not.toBe(0);
    expect(log).toContain(`${pid} shares CUDA events with another process`);
    expect(log).toContain(reasons[i]);
    expect(status.filter(({ event }) => event === 'evicting')).toEqual([]);
    await pair.check(1);
  }
});
