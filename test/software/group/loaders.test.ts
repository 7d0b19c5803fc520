// SPDX-License-Identifier: MIT
/**
 * Two ranks, each with two data loaders that it has forked when it already used CUDA, as torch's DataLoader(num_workers=2,
 * pin_memory=True, persistent_workers=True) under DDP. Every batch is compared on the device.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readProcessTree } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { Ranks } from '../../helpers/ranks.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
});
afterEach(() => machine.close());

/** Addresses and lengths of the shared memory without a name, and the files behind it, which say who shares it. */
function sharedMemory(pid: number): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, range, file] = /^(\S+) rw-s \S+ (\S+ \d+) +\/(?:memfd:\/)?dev\/zero/.exec(line) ?? [];
    if (range !== undefined && file !== undefined) found.set(range, file);
  }
  return found;
}

/** What is open: kinds only, since numbers of sockets are new after a restore. */
const descriptors = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).map((fd) => {
    const target = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, '');
    return `${fd} ${target.replace(/^.*\/device\d+\.mem.*$/, 'device')}`;
  });

interface State {
  tree: { pid: number; ppid: number }[];
  maps: string[][];
  sharers: number[][];
  open: string[][];
}

function stateOf(root: number, ranks: readonly number[]): State {
  const tree = readProcessTree(root)
    .map(({ pid, ppid }) => ({ pid, ppid }))
    .sort((a, b) => a.pid - b.pid);
  const loaders = tree.filter(({ ppid }) => ranks.includes(ppid));
  const all = tree.map(({ pid }) => ({ pid, maps: sharedMemory(pid) }));
  // For each mapping of a rank: who else has the same memory.
  const sharers = ranks.flatMap((rank) =>
    [...sharedMemory(rank).values()].map((file) =>
      all.filter(({ maps }) => [...maps.values()].includes(file)).map(({ pid }) => pid),
    ),
  );
  expect(loaders).toHaveLength(2 * ranks.length);
  return {
    tree,
    maps: all.map(({ maps }) => [...maps.keys()]),
    sharers,
    open: loaders.map(({ pid }) => descriptors(pid)),
  };
}

describe.each(['parallel', 'full'] as const)('%s', (variant) => {
  const libdir = variantDir(variant);

  it('they are restored twice with their ranks, and share the batches with nobody else', async () => {
    const ranks = await Ranks.start(machine, ['--devices', '2', '--loaders', '2']);
    const before = stateOf(ranks.pid, ranks.pids);
    for (const rank of ranks.pids) {
      const loaders = before.tree.filter(({ ppid }) => ppid === rank).map(({ pid }) => pid);
      expect(before.sharers).toContainEqual([rank, ...loaders]);
    }
    const { exitCode, log } = await machine.dump(ranks.workload, { libdir });
    expect(exitCode, errorsIn(log)).toBe(0);
    const pids = before.tree.map(({ pid }) => pid);
    for (let round = 0; round < 2; round++) {
      await waitUntilFree(...pids);
      const restored = await machine.restore({ libdir });
      expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
      await ranks.check();
      expect(stateOf(ranks.pid, ranks.pids)).toEqual(before);
      await machine.kill(ranks.pid);
    }
  });

  it('they run on after a dump that leaves them running, and after one that is undone', async () => {
    const ranks = await Ranks.start(machine, ['--loaders', '2', '--share', 'host']);
    const before = stateOf(ranks.pid, ranks.pids);
    for (const undo of [false, true]) {
      const script = undo ? machine.actionScript('post-dump', 'exit 1') : [];
      const { exitCode, log } = await machine.dumpPid(ranks.pid, {
        libdir,
        args: ['--leave-running', ...script],
      });
      expect(exitCode === 0, errorsIn(log)).toBe(!undo);
      await ranks.check();
      expect(stateOf(ranks.pid, ranks.pids)).toEqual(before);
    }
  });
});
