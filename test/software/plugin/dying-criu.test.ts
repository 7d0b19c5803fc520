// SPDX-License-Identifier: MIT
/** A criu that is killed, told to end, or refused by a script: afterwards the program is what it was. */
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildDir } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readThreadState } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { readMappings, type Mapping } from '../../helpers/host-memory.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
let workload: Workload;
let before: unknown;

beforeEach(() => {
  machine = new Machine({ SOFTCUDA_MEMORY_MB: '1024' });
});
afterEach(() => machine.close());

/** The kernel does not always merge adjacent mappings of one kind. */
function mappings(pid: number): Omit<Mapping, 'flags'>[] {
  const merged: Omit<Mapping, 'flags'>[] = [];
  for (const { flags, ...rest } of readMappings(pid)) {
    const one = { ...rest, permissions: `${rest.permissions} ${flags.join(' ')}` };
    const last = merged.at(-1);
    if (last?.end === one.start && last.permissions === one.permissions && last.path === one.path) {
      last.end = one.end;
    } else {
      merged.push(one);
    }
  }
  return merged;
}

/** Open files; without sockets, because this test's own connections come and go. */
function descriptors(pid: number): string[] {
  const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  return targets.filter((target) => !target.startsWith('socket:')).sort();
}

/** What the program and the kernel say about the process. */
async function fingerprint(): Promise<unknown> {
  const { pid } = workload;
  return {
    memory: await workload.verify(),
    addresses: await workload.addresses(),
    mappings: mappings(pid),
    descriptors: descriptors(pid),
    threads: readdirSync(`/proc/${pid}/task`),
  };
}

async function start(args: string[]): Promise<void> {
  workload = await machine.start({ args });
  await workload.verify(); // the program's own buffers exist from now on
  before = await fingerprint();
}

async function expectAsBefore(): Promise<void> {
  await waitFor(async () => {
    expect(await machine.state(workload.pid)).toBe('running');
  });
  expect(await fingerprint()).toEqual(before);
}

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
    const outcome = machine.readStatus().findLast(({ event }) => event === 'task')?.outcome;
    expect(outcome).toBe('rolled-back');
  });
});

describe('criu is killed', () => {
  // the first steps make the scratch page, which was not safe
  it.each([1, 2, 3, 4, 5, 6, 9, 13, 18, 24, 31])('at step %i of an injection', async (step) => {
    await start(['--alloc', '48M', '--host', '20M', '--pinned', '4M']);
    const env = {
      LD_PRELOAD: join(buildDir(), 'test-tools', 'fail-ptrace.so'),
      CCR_FAIL_PTRACE: `${step}:kill`,
    };
    const dump = machine.dump(workload, { libdir: variantDir('remap'), env });
    await expect(dump).rejects.toThrow('was killed by SIGKILL');
    await expectAsBefore();
  });
});
