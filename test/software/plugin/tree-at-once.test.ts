// SPDX-License-Identifier: MIT
// The first hook of a restore serves the whole tree: its driver calls overlap, and a failure of one ends all. So does the first
// of a dump, which saves the host memory of one process while the driver works on another.
import { execFileSync } from 'node:child_process';
import { existsSync, openSync, readdirSync, readSync, closeSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isAlive, readProcessTree } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { pluginVariants, usesInterceptor, variantDir } from '../../../lib/variant.ts';
import { readMappings } from '../../helpers/host-memory.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import type { StatusEvent } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const ARGS = ['--alloc', '4Mx2', '--host', '2M', '--children', '2'];

let machine: ParallelMachine;
let gate: string;
beforeEach(() => {
  machine = new ParallelMachine();
  gate = join(machine.dir, 'gate');
});
afterEach(() => machine.close());

/** Three CUDA processes. While the gate is closed, their Checkpoint and Restore wait. */
const start = (variant: string, more: Record<string, string> = {}): Promise<Workload> => {
  const env = { SOFTCUDA_WAITS: gate, ...more };
  return usesInterceptor(variant) ? machine.startIntercepted(env, ARGS) : machine.start({ args: ARGS, env });
};

const closeGate = (): void => void execFileSync('mkfifo', [gate]);

/** Those that wait continue, and nobody waits any more. */
function openGate(): void {
  const fifo = openSync(gate, 'r+');
  rmSync(gate);
  closeSync(fifo);
}

const checksums = async (workload: Workload): Promise<string[]> => [
  await workload.verify(),
  await workload.verify('child 0 '),
  await workload.verify('child 1 '),
];

const pidsOf = (workload: Workload): number[] => readProcessTree(workload.pid).map(({ pid }) => pid);

/** The processes for which the driver was called to do this. */
const pidsIn = (name: string, status: readonly StatusEvent[]): number[] =>
  status.flatMap(({ event, step, pid = 0 }) => (event === 'step' && step === name ? [pid] : [])).sort();

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
    closeGate();
    const restoring = machine.restore(options);
    await waitUntil(() => pids.every(isInCall));
    openGate();
    const { exitCode, status, log } = await restoring;
    expect(exitCode, log).toBe(0);
    expect(await checksums(workload)).toEqual(before);
    expect(pidsIn('restore', status)).toEqual(pids.sort());
    expect(status.filter(({ outcome }) => outcome === 'restored')).toHaveLength(3);
    await waitUntil(() => backgroundProcesses().length === 0);
  });

  const state = { SOFTCUDA_HOST_STATE_MB: '5' };

  it('checkpoints three processes at the same time', async () => {
    const workload = await start(variant, state);
    const before = await checksums(workload);
    const pids = pidsOf(workload);
    closeGate();
    const dumping = machine.dump(workload, options);
    await waitUntil(() => pids.every(isInCall));
    openGate();
    const { exitCode, status, log } = await dumping;
    expect(exitCode, log).toBe(0);
    expect(pidsIn('checkpoint', status)).toEqual(pids.sort());
    expect((await machine.restore(options)).exitCode).toBe(0);
    expect(await checksums(workload)).toEqual(before);
    await waitUntil(() => backgroundProcesses().length === 0);
  });

  it.each(['fails', 'loses its criu'])('returns all three if the Checkpoint of one %s', async (how) => {
    const workload = await start(variant, state);
    const before = await checksums(workload);
    const pids = pidsOf(workload);
    closeGate();
    const fails = how === 'fails';
    const dumping = machine
      .dump(workload, {
        ...options,
        keepStatus: true,
        env: fails
          ? {
              SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:2:999',
              SOFTCUDA_FAIL_COUNTS: join(machine.dir, 'counts'),
            }
          : {},
      })
      .catch(() => undefined);
    // after a failure, no other call needs to begin
    await waitUntil(() => (fails ? pids.some(isInCall) : pids.every(isInCall)));
    if (!fails)
      process.kill(machine.readStatus().find(({ event }) => event === 'begin')?.criu ?? 0, 'SIGKILL');
    openGate();
    expect((await dumping)?.exitCode).not.toBe(0);
    for (const pid of pids)
      await waitUntil(async () => (await machine.state(pid)) === 'running', { timeout: 60_000 });
    expect(await checksums(workload)).toEqual(before);
    await waitUntil(() => !readdirSync(machine.imagesDir).some((name) => name.startsWith('cuda-')));
    await machine.expectNothingLeft();
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
  closeGate(); // and it stays so
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
  closeGate();
  const restoring = machine.restore(options);
  // its restore thread runs only during that call
  await waitUntil(() => isAlive(victim) && isInCall(victim));
  process.kill(victim, 'SIGKILL');
  const { exitCode, status } = await restoring;
  expect(exitCode).not.toBe(0);
  expect(status.filter(({ outcome }) => outcome === 'restored')).toEqual([]);
  for (const pid of pids) expect(isAlive(pid)).toBe(false);
  await waitUntil(() => backgroundProcesses().length === 0);
});

/** Its restore thread does what the driver was called for, and waits at the gate. */
function isInCall(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some(
      (tid) =>
        readText(`/proc/${pid}/task/${tid}/comm`).trim() === 'softcuda-rst' &&
        /partner|fifo_open/.test(readText(`/proc/${pid}/task/${tid}/wchan`)),
    );
  } catch {
    return false; // it does not exist yet
  }
}

const MiB = 2 ** 20;

/** Starts a process with 24 MiB of random bytes, then becomes the program: its parent. */
const withChild = `import os, signal, sys, ctypes
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    kept = bytearray(${24 * MiB})
    for at in range(0, len(kept), ${MiB}):
        kept[at:at + ${MiB}] = os.urandom(${MiB})
    kept[:5] = b"ready"
    while True:
        signal.pause()
os.execvp(sys.argv[1], sys.argv[1:])`;

const startWithChild = (on: ParallelMachine): Promise<Workload> =>
  on.start({ under: ['python3', '-c', withChild] });

const largeMapping = (pid: number): { start: number; size: number } | undefined =>
  readMappings(pid)
    .filter(({ start, end, path }) => end - start >= 24 * MiB && path === '')
    .map(({ start, end }) => ({ start, size: end - start }))[0];

function bytesOf(pid: number, { start, size }: { start: number; size: number }): Buffer {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const bytes = Buffer.alloc(size);
    return bytes.subarray(0, readSync(memory, bytes, 0, size, start));
  } finally {
    closeSync(memory);
  }
}

const residentOf = (pid: number): number =>
  Number(/^RssAnon:\s+(\d+)/m.exec(readText(`/proc/${pid}/status`))?.[1]) * 1024;

describe('a dump', () => {
  const hang = {
    SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:1:hang',
    CRIU_CUDA_STEP_TIMEOUT_MS: '10000',
  };
  const libdir = variantDir('remap');

  /** Starts both, and a dump whose driver call on the parent does not return until its time limit. */
  async function dumpUntilSaved(on: ParallelMachine) {
    const workload = await startWithChild(on);
    const checksum = await workload.verify();
    const child = pidsOf(workload).find((pid) => pid !== workload.pid) ?? 0;
    const mapping = await waitUntil(() => largeMapping(child));
    await waitUntil(() => bytesOf(child, { ...mapping, size: 4096 }).includes('ready'));
    const bytes = bytesOf(child, mapping);
    const dumping = on.tryDump(workload, { libdir, env: hang, keepStatus: true });
    // the memory of the child is in its page file, and only there
    const manifest = join(on.imagesDir, `cuda-host-${child}.img`);
    await waitUntil(() => existsSync(manifest) && residentOf(child) < 24 * MiB);
    const isRight = async (): Promise<void> => {
      expect(await workload.verify()).toBe(checksum);
      expect(bytesOf(child, mapping).equals(bytes)).toBe(true);
    };
    return { workload, dumping, isRight };
  }

  async function expectReturned(): Promise<void> {
    const { workload, dumping, isRight } = await dumpUntilSaved(machine);
    const { exitCode, log } = await dumping;
    expect(exitCode).not.toBe(0);
    expect(errorsIn(log)).toContain('does not return and is abandoned: its time limit has passed');
    await isRight();
    expect(await machine.state(workload.pid)).toBe('running');
    await machine.expectNothingLeft();
  }

  async function expectReturnedWithoutCriu(on: ParallelMachine): Promise<void> {
    const { workload, dumping, isRight } = await dumpUntilSaved(on);
    const criu = on.readStatus().find(({ event }) => event === 'begin')?.criu ?? 0;
    process.kill(criu, 'SIGKILL');
    await dumping;
    await waitUntil(async () => (await on.state(workload.pid)) === 'running');
    await isRight();
    await on.expectNothingLeft();
  }

  // at once, because both wait for the time limit
  it('saves the memory of a child while the driver works on its parent, and returns it when that fails, or criu is killed meanwhile', async () => {
    const other = new ParallelMachine();
    try {
      await Promise.all([expectReturned(), expectReturnedWithoutCriu(other)]);
    } finally {
      await other.close();
    }
  });
});
