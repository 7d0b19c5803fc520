// SPDX-License-Identifier: MIT
/**
 * A dump that is refused, with real CRIU: before anything was moved and before the driver was asked to change
 * anything. The program is what it was, and there is no image.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, type TestContext } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { killTree, readProcessTree, readStat } from '../../../lib/process/index.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { pluginVariants, variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { makeCgroup } from '../../helpers/cgroup.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine, type CriuOptions, type CriuRun } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
/** Undone in reverse order before the machine is closed. */
let cleanups: (() => unknown)[];
beforeEach(() => {
  machine = new Machine();
  cleanups = [];
});
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  await machine.close();
});

interface ReasonEvent {
  event: string;
  kind: string;
  severity: string;
  pid: number;
  text: string;
  remedy: string;
}

const reasonsOf = (run: CriuRun): ReasonEvent[] =>
  (run.status as unknown as ReasonEvent[]).filter(({ event }) => event === 'reason');

const proc = (pid: number, name: string): string => readFileSync(`/proc/${pid}/${name}`, 'utf8');

/** What of a process another process can see, and a dump could change. */
function fingerprint(pid: number): unknown {
  return readProcessTree(pid).map((one) => ({
    pid: one.pid,
    state: one.state === 'R' ? 'S' : one.state,
    maps: proc(one.pid, 'maps'),
    flags: proc(one.pid, 'smaps').match(/^VmFlags:.*$/gm),
    descriptors: readdirSync(`/proc/${one.pid}/fd`).sort(),
    threads: readdirSync(`/proc/${one.pid}/task`).sort(),
  }));
}

const isSocket = (path: string): boolean => {
  try {
    return readlinkSync(path).startsWith('socket:');
  } catch {
    return false; // a connection that was just closed
  }
};
const sockets = (pid: number): number =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`)).length;

/** A workload that has closed the connection of its last answer, and the checksum of its memory. */
async function startIdle(): Promise<{ workload: Workload; checksum: string }> {
  const workload = await machine.start();
  const checksum = await workload.verify();
  await waitUntil(() => sockets(workload.pid) === 1); // its listener
  return { workload, checksum };
}

const images = (): string[] => readdirSync(machine.imagesDir).filter((name) => name.endsWith('.img'));

/** Starts cuda_program.py, which does these things; it is killed when the test ends. @returns its pid */
async function startProgram(names: readonly string[], env: Record<string, string> = {}): Promise<number> {
  const script = join(projectRoot, 'test', 'helpers', 'cuda_program.py');
  const child = spawn('python3', [script, machine.dir, ...names], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...machine.env, ...env },
  });
  const pid = child.pid ?? 0;
  cleanups.push(() => {
    process.kill(pid, 'SIGKILL'); // also threads that have outlived the first one
    return killTree(pid);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: line } = (await lines.next()) as { value: string | undefined };
  expect(line).toBe('ready');
  return pid;
}

/** Dumps, and expects a refusal for these reasons that left no trace. */
async function expectRefused(
  pid: number,
  kinds: readonly string[],
  options: CriuOptions = {},
): Promise<CriuRun> {
  const before = fingerprint(pid);
  const run = await machine.dumpPid(pid, options);
  expect(run.exitCode).not.toBe(0);
  expect(reasonsOf(run).map(({ kind }) => kind)).toEqual(kinds);
  for (const { text, remedy } of reasonsOf(run)) expect(run.log).toContain(`${text}; ${remedy}`);
  // neither the driver nor the pool nor anything else has begun
  expect(run.status.filter(({ event }) => ['step', 'pool', 'evicting', 'remap'].includes(event))).toEqual([]);
  expect(images()).toEqual([]);
  expect(fingerprint(pid)).toEqual(before);
  return run;
}

/** The program that traces another one; it is killed when the test ends. */
async function trace(pid: number): Promise<ChildProcess> {
  const script = [
    'import ctypes, sys, signal',
    'libc = ctypes.CDLL(None, use_errno=True)',
    'assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0', // PTRACE_SEIZE
    'print("ready", flush=True)',
    'signal.pause()',
  ].join('\n');
  const tracer = spawn('python3', ['-c', script, String(pid)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(tracer, 'exit');
  cleanups.push(() => {
    tracer.kill('SIGKILL');
    return ended;
  });
  await once(tracer.stdout, 'data');
  return tracer;
}

describe.each(pluginVariants)('%s refuses, and leaves as it was,', (variant) => {
  const libdir = variantDir(variant);

  it('a process that is stopped', async () => {
    const { workload, checksum } = await startIdle();
    process.kill(workload.pid, 'SIGSTOP');
    await waitUntil(() => readStat(workload.pid)?.state === 'T');
    await expectRefused(workload.pid, ['stopped'], { libdir });
    process.kill(workload.pid, 'SIGCONT');
    expect(await workload.verify()).toBe(checksum);
  });

  it('a process that is traced', async () => {
    const { workload, checksum } = await startIdle();
    const tracer = await trace(workload.pid);
    const run = await expectRefused(workload.pid, ['traced'], { libdir });
    expect(reasonsOf(run)[0]?.text).toContain(`${tracer.pid} traces`);
    expect(await workload.verify()).toBe(checksum);
  });
});

it.each([
  ['io-uring', 'io_uring', {}],
  ['perf-event', 'perf_event', {}],
  ['posix-mq', 'posix_mq', {}],
  ['sysv-shm', 'sysv_shm', {}],
  ['nccl', 'nccl_memory', {}],
  ['profiler', 'cupti', {}],
  ['profiler-guess', '', { CUDA_INJECTION64_PATH: '/nowhere/agent.so' }],
  ['descriptors', 'few_descriptors', {}],
  ['address-space', 'small_address_space', {}],
  ['dead-leader', 'dead_leader', {}],
])('refuses %s before anything is moved', async (kind, name, env) => {
  const pid = await startProgram(name === '' ? [] : [name], env);
  await expectRefused(pid, [kind], { libdir: variantDir('remap') });
});

it('names all reasons at once, for all processes of the tree', async () => {
  const pid = await startProgram(['io_uring', 'nccl_memory', 'fork_child']);
  const children = readProcessTree(pid).slice(1);
  expect(children).toHaveLength(1);
  const run = await expectRefused(pid, ['io-uring', 'nccl', 'io-uring'], { libdir: variantDir('remap') });
  expect(reasonsOf(run).map((reason) => reason.pid)).toEqual([pid, pid, children[0]?.pid]);
});

function ownCgroup(controller: string, context: TestContext): string {
  const { dir, remove } = makeCgroup(controller, basename(machine.dir), context);
  cleanups.push(remove);
  return dir;
}

it.each(['stock', 'remap'] as const)(
  '%s refuses imported memory, which the interceptor counts',
  async (variant) => {
    const pid = await startProgram(['import_memory'], { LD_PRELOAD: interceptorLibrary() });
    const run = await expectRefused(pid, ['imported-memory', 'exported-memory'], {
      libdir: variantDir(variant),
    });
    expect(reasonsOf(run)[0]?.text).toContain('it has imported 1 allocations');
  },
);

it('warns of a store that may be too small', async () => {
  const small = join(machine.dir, 'small');
  mkdirSync(small);
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', small]);
  cleanups.push(() => exec('umount', [small]));
  const { workload, checksum } = await startIdle();
  const run = await machine.dumpPid(workload.pid, { imagesDir: small });
  expect(run.exitCode).not.toBe(0);
  expect(run.log).toContain(`${workload.pid} may need more space than the images directory has`);
  expect(await workload.verify()).toBe(checksum);
});

describe('a cgroup', () => {
  it('that is frozen: refused, where criu would wait', async (context) => {
    const dir = ownCgroup('freezer', context);
    const pid = await startProgram([]);
    writeFileSync(join(dir, 'cgroup.procs'), String(pid));
    writeFileSync(join(dir, 'freezer.state'), 'FROZEN');
    await waitUntil(() => readFileSync(join(dir, 'freezer.state'), 'utf8') === 'FROZEN\n');
    await waitUntil(() => readStat(pid)?.state === 'D');
    cleanups.push(() => {
      writeFileSync(join(dir, 'freezer.state'), 'THAWED');
    });
    return expectRefused(pid, ['frozen'], { libdir: variantDir('stock') });
  });

  it('that limits memory to less than the driver copies: refused, where the program would be killed', async (context) => {
    const dir = ownCgroup('memory', context);
    const pid = await startProgram([]);
    writeFileSync(join(dir, 'cgroup.procs'), String(pid));
    writeFileSync(join(dir, 'memory.limit_in_bytes'), String(4 << 20));
    const run = await expectRefused(pid, ['host-memory'], { libdir: variantDir('remap') });
    expect(reasonsOf(run)[0]?.text).toContain(`${basename(dir)} leaves`);
  });

  it('that limits memory to less than a restore fills: refused before a process is created', async (context) => {
    const dir = ownCgroup('memory', context);
    const { workload, checksum } = await startIdle();
    const libdir = variantDir('remap');
    expect((await machine.dump(workload, { libdir })).exitCode).toBe(0);
    writeFileSync(join(dir, 'memory.limit_in_bytes'), String(16 << 20));
    const { imagesDir } = machine;
    const enter = 'echo $$ > "$0"/cgroup.procs && exec "$@"';
    const criu = [
      criuProgram(),
      'restore',
      '--restore-detached',
      '--images-dir',
      imagesDir,
      '--libdir',
      libdir,
    ];
    const refused = await execResult('sh', ['-c', enter, dir, ...criu, '--log-file', 'refused.log'], {
      env: machine.env,
    });
    expect(refused.exitCode).not.toBe(0);
    expect(readFileSync(join(imagesDir, 'refused.log'), 'utf8')).toContain(
      'the checkpoint needs more host memory for the restore than is available',
    );
    expect(readStat(workload.pid)).toBeUndefined();
    machine.takeStatus();
    const restored = await machine.restore({ libdir });
    expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
    expect(await workload.verify()).toBe(checksum);
  });
});
