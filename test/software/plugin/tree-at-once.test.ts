// SPDX-License-Identifier: MIT
// The first hook of a restore serves the whole tree: its driver calls overlap, and a failure of one ends all.
import { openSync, readdirSync, readSync, closeSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, readProcessTree } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { pluginVariants, usesInterceptor, variantDir } from '../../../lib/variant.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';
import type { StatusEvent } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

/** Longer than it takes to begin the other calls, on a busy machine. */
const RESTORE_MS = 2000;
const ARGS = ['--alloc', '4Mx2', '--host', '2M', '--children', '2'];

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

/** Three CUDA processes whose Restore takes a while. */
const start = (variant: string): Promise<Workload> =>
  usesInterceptor(variant)
    ? machine.startIntercepted({ SOFTCUDA_RESTORE_MS: String(RESTORE_MS) }, ARGS)
    : machine.start({ args: ARGS, env: { SOFTCUDA_RESTORE_MS: String(RESTORE_MS) } });

const checksums = async (workload: Workload): Promise<string[]> => [
  await workload.verify(),
  await workload.verify('child 0 '),
  await workload.verify('child 1 '),
];

const pidsOf = (workload: Workload): number[] => readProcessTree(workload.pid).map(({ pid }) => pid);

const restores = (status: readonly StatusEvent[]): { pid: number; startMs: number; endMs: number }[] =>
  status.flatMap(({ event, step, pid = 0, ms = 0, at = 0 }) =>
    event === 'step' && step === 'restore' ? [{ pid, startMs: at - ms, endMs: at }] : [],
  );

/** Processes that criu has started in the background, of this machine. */
const backgroundProcesses = (): string[] =>
  readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readComm(name) === 'cuda-driver' && environHas(name, machine.runDir);
    } catch {
      return false; // it has just ended
    }
  });

function readText(path: string): string {
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(65_536);
  try {
    return buffer.toString('utf8', 0, readSync(file, buffer));
  } finally {
    closeSync(file);
  }
}

const readComm = (pid: string): string => readText(`/proc/${pid}/comm`).trim();
const environHas = (pid: string, word: string): boolean => readText(`/proc/${pid}/environ`).includes(word);

function flipByte(path: string): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, 4096);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 4096);
  closeSync(file);
}

describe.each(pluginVariants)('%s', (variant) => {
  const options = { libdir: variantDir(variant) };

  it('restores three processes at the same time', async () => {
    const workload = await start(variant);
    const before = await checksums(workload);
    const pids = pidsOf(workload);
    expect((await machine.dump(workload, options)).exitCode).toBe(0);
    const { exitCode, status, log } = await machine.restore(options);
    expect(exitCode, log).toBe(0);
    expect(await checksums(workload)).toEqual(before);
    const spans = restores(status);
    expect(spans.map(({ pid }) => pid).sort()).toEqual([...pids].sort());
    for (const { startMs, endMs } of spans) expect(endMs - startMs).toBeGreaterThanOrEqual(RESTORE_MS);
    // the last one has begun before the first one ended
    expect(Math.max(...spans.map(({ startMs }) => startMs))).toBeLessThan(
      Math.min(...spans.map(({ endMs }) => endMs)),
    );
    expect(status.filter(({ outcome }) => outcome === 'restored')).toHaveLength(3);
    await waitUntil(() => backgroundProcesses().length === 0);
  });
});

it('runs none of three if the page file of the last one is damaged', async () => {
  const workload = await start('remap');
  const pids = pidsOf(workload);
  const options = { libdir: variantDir('remap') };
  expect((await machine.dump(workload, options)).exitCode).toBe(0);
  const damaged = pids.at(-1) ?? 0;
  const file = readdirSync(machine.imagesDir).find((name) => name.startsWith(`cuda-pages-${damaged}-`));
  flipByte(join(machine.imagesDir, file ?? ''));
  const { exitCode, status } = await machine.restore(options);
  expect(exitCode).not.toBe(0);
  expect(status.filter(({ event }) => event === 'task')).toMatchObject([{ pid: damaged, outcome: 'failed' }]);
  for (const pid of pids) expect(isAlive(pid)).toBe(false);
  await waitUntil(() => backgroundProcesses().length === 0);
});

it('runs none of three if one is killed while the driver restores it', async () => {
  const workload = await start('parallel');
  const pids = pidsOf(workload);
  const options = { libdir: variantDir('parallel') };
  expect((await machine.dump(workload, options)).exitCode).toBe(0);
  const victim = pids[1] ?? 0;
  const restoring = machine.restore(options);
  // its restore thread runs only during that call
  await waitUntil(() => isAlive(victim) && isRestoring(victim));
  process.kill(victim, 'SIGKILL');
  const { exitCode, status } = await restoring;
  expect(exitCode).not.toBe(0);
  expect(status.filter(({ outcome }) => outcome === 'restored')).toEqual([]);
  for (const pid of pids) expect(isAlive(pid)).toBe(false);
  await waitUntil(() => backgroundProcesses().length === 0);
});

function isRestoring(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some(
      (tid) =>
        readText(`/proc/${pid}/task/${tid}/comm`).trim() === 'softcuda-rst' &&
        readText(`/proc/${pid}/task/${tid}/wchan`).includes('nanosleep'),
    );
  } catch {
    return false; // it does not exist yet
  }
}
