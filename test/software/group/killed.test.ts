// SPDX-License-Identifier: MIT
/**
 * One of the processes of a dump is killed while the gates of a tree are closed, or part of its memory has moved: every
 * other process of the tree runs on with its memory.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, readProcessTree, readStat } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { gatedOf } from '../../helpers/collectives.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const STEPS = {
  'all gates are closed': 'pool:status:1:ask:"quiesce"',
  'the first process is asked for its memory': 'pool:status:1:ask:"evicting"',
  'the second process is asked for its memory': 'pool:status:2:ask:"evicting"',
  'the memory of all has moved': 'criu:status:1:ask:"lock"',
};
const MEMBERS = ['', 'child 0 ', 'child 1 '];

let machine: ParallelMachine;
let tree: Workload;
let pids: number[];
let before: string[];

const snapshot = (members: readonly string[]): Promise<string[]> =>
  Promise.all(members.map(async (who) => `${await tree.verify(who)} ${await tree.addresses(who)}`));

beforeEach(async () => {
  machine = new ParallelMachine();
  tree = await machine.startIntercepted({}, ['--alloc', '4Mx2', '--alloc', '1M', '--children', '2']);
  before = await snapshot(MEMBERS);
  pids = readProcessTree(tree.pid).map(({ pid }) => pid);
});
afterEach(() => machine.close());

/** The pid of criu, of its watcher or of its pool, or of the last process of the tree. */
function pidOf(victim: string): number {
  if (victim === 'member') return pids.at(-1) ?? 0;
  const events = machine.readStatus();
  if (victim === 'criu') return events.find(({ event }) => event === 'begin')?.criu ?? 0;
  return events.find(({ event }) => event === victim)?.pid ?? 0;
}

async function kill(victim: string): Promise<void> {
  const pid = pidOf(victim);
  expect(pid).toBeGreaterThan(1);
  process.kill(pid, 'SIGKILL');
  await waitFor(() => {
    expect(readStat(pid)?.state ?? 'Z').toBe('Z');
  });
}

describe.each(['criu', 'watcher', 'pool', 'member'])('the %s is killed', (victim) => {
  it.each(Object.keys(STEPS) as (keyof typeof STEPS)[])('when %s', async (step) => {
    let isHit = false;
    const env = await faultPoint(machine.dir, STEPS[step], async () => {
      await kill(victim);
      isHit = true;
    });
    const libdir = variantDir('parallel');
    const run = await machine.tryDump(tree, { libdir, args: ['--leave-running'], env, keepStatus: true });
    await waitFor(() => {
      expect(isHit, errorsIn(run.log)).toBe(true);
    });
    // without a watcher, criu starts another one and continues; a pool may have written the last byte before it is killed
    const mayEnd = victim === 'pool' && step === 'the memory of all has moved';
    if (victim !== 'watcher' && !mayEnd) expect(run.exitCode, errorsIn(run.log)).not.toBe(0);
    const members = victim === 'member' ? MEMBERS.slice(0, 2) : MEMBERS;
    expect(await snapshot(members)).toEqual(before.slice(0, members.length));
    const alive = pids.slice(0, members.length);
    expect(alive.filter((pid) => !isAlive(pid))).toEqual([]);
    await waitUntil(() => gatedOf(alive).length === 0);
    await machine.expectNothingLeft();
    for (const pid of alive) expect(await machine.state(pid)).toBe('running');
  });
});
