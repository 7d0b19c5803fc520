// SPDX-License-Identifier: MIT
// Host memory that two processes share and have registered with CUDA, as NCCL's ranks and data loaders do: it is saved once, and
// shared as before after a restore.
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { readProcessTree, waitForExit } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';

const KINDS = ['anonymous', 'file', 'unlinked', 'memfd'] as const;
const PAGE = 4096;
const SIZE = 3 << 20;

let machine: Machine;
let name: string;
beforeEach(() => {
  machine = new Machine();
  name = `ccr-pinned-${process.pid}`;
});
afterEach(async () => {
  await machine.close();
  for (const file of readdirSync('/dev/shm').filter((one) => one.startsWith(name)))
    rmSync(`/dev/shm/${file}`);
});

type Kind = (typeof KINDS)[number];
interface Member {
  pid: number;
  at: ReadonlyMap<Kind, number>;
}

function members(answer: string): Member[] {
  if (!answer.startsWith('ok ')) throw new Error(answer);
  return answer.split(' child: ').map((part) => {
    const value = (key: string): string => new RegExp(` ${key}=(\\w+)`).exec(part)?.[1] ?? '';
    return { pid: Number(value('pid')), at: new Map(KINDS.map((kind) => [kind, parseInt(value(kind), 16)])) };
  });
}

/** Device and inode of the file behind a mapping: what processes that share it have in common. */
function fileAt({ pid, at }: Member, kind: Kind): string {
  const address = at.get(kind) ?? 0;
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, start = '', end = '', permissions, device, inode] =
      /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ (\S+) (\d+)/.exec(line) ?? [];
    if (address < parseInt(start, 16) || address >= parseInt(end, 16)) continue;
    expect(permissions).toBe('rw-s');
    return `${device} ${inode}`;
  }
  throw new Error(`${pid} has nothing mapped at ${address.toString(16)}`);
}

function expectShared(answer: string): void {
  const [parent, child] = members(answer);
  if (!parent || !child) throw new Error(answer);
  const files = KINDS.map((kind) => fileAt(parent, kind));
  expect(KINDS.map((kind) => fileAt(child, kind))).toEqual(files);
  expect(new Set(files).size).toBe(KINDS.length);
}

/** The bytes in the middle of a segment, from the memory of a process. */
function sampleOf({ pid, at }: Member, kind: Kind): Buffer {
  const offset = (at.get(kind) ?? 0) + SIZE / 2;
  const bytes = readFileSync(`/proc/${pid}/map_files/${rangeAt(pid, offset)}`);
  return bytes.subarray(SIZE / 2, SIZE / 2 + PAGE);
}

function rangeAt(pid: number, address: number): string {
  const range = readdirSync(`/proc/${pid}/map_files`).find((one) => {
    const [start = '', end = ''] = one.split('-');
    return address >= parseInt(start, 16) && address < parseInt(end, 16);
  });
  if (range === undefined) throw new Error(`${pid} has no file mapped at ${address.toString(16)}`);
  return range;
}

/** How often the images have these bytes. */
function timesSaved(sample: Buffer): number {
  let times = 0;
  const files = readdirSync(machine.imagesDir, { recursive: true }).map((one) =>
    join(machine.imagesDir, String(one)),
  );
  for (const file of files.filter((one) => statSync(one).isFile())) {
    const bytes = readFileSync(file);
    for (let at = bytes.indexOf(sample); at >= 0; at = bytes.indexOf(sample, at + 1)) times += 1;
  }
  return times;
}

const cli = async (args: readonly string[]): Promise<void> => {
  const run = await execResult(process.execPath, [join(projectRoot, 'dist/cli.js'), ...args], {
    env: machine.env,
  });
  expect(run.exitCode, run.stdout + run.stderr).toBe(0);
};

it.each(['stock', 'remap', 'parallel'])('%s: memory is saved once and shared as before', async (variant) => {
  const preload = variant === 'parallel' ? { LD_PRELOAD: interceptorLibrary() } : {};
  const workload = await machine.start({
    program: ['python3', join(projectRoot, 'test/helpers/shared_pinned.py'), name],
    env: preload,
  });
  expectShared(await workload.ask('write 1'));
  expectShared(await workload.ask('check 1'));
  const [parent] = members(await workload.ask('status'));
  if (!parent) throw new Error('there is no parent');
  const samples = KINDS.map((kind) => sampleOf(parent, kind));
  const tree = readProcessTree(workload.pid).map(({ pid }) => pid);
  await cli(['checkpoint', String(workload.pid), machine.imagesDir, '--variant', variant]);
  await workload.ended();
  await Promise.all(tree.map((pid) => waitForExit(pid)));
  expect(samples.map(timesSaved)).toEqual(KINDS.map(() => 1));

  for (let round = 2; round < 4; round += 1) {
    await cli(['restore', machine.imagesDir, '--detach']);
    expectShared(await workload.ask('check 1'));
    expectShared(await workload.ask(`write ${round}`));
    expectShared(await workload.ask(`check ${round}`));
    if (round === 2) await machine.kill(workload.pid);
  }
});
