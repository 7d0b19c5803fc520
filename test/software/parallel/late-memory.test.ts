// SPDX-License-Identifier: MIT
/**
 * Host memory that is filled while the driver restores the process: what the driver needs of it is brought in first, and
 * nobody runs without it.
 */
import { once } from 'node:events';
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { restore } from '../../../lib/restore/index.ts';
import { readStat, waitForExit } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { pageFiles, programMappings, readMappings, type Mapping } from '../../helpers/host-memory.ts';
import type { CriuOptions, CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { sockets, targets } from '../../helpers/same-program.ts';
import { waitUntil } from '../../helpers/wait.ts';

const libdir = variantDir('parallel');
const PAGE = 4096;
const MiB = 2 ** 20;
/** One thread: it takes long enough for the driver to be first. */
const slow = { CRIU_CUDA_STREAMS: '1' };

let machine: ParallelMachine;
let reads: string;
beforeEach(() => {
  machine = new ParallelMachine();
  reads = join(machine.dir, 'reads');
});
afterEach(() => machine.close());

/** The largest private memory of a process. */
function largest(pid: number): Mapping {
  const own = readMappings(pid).filter(({ permissions, path }) => permissions === 'rw-p' && path === '');
  const [first] = own.sort((a, b) => b.end - b.start - (a.end - a.start));
  if (!first) throw new Error(`${pid} has no memory`);
  return first;
}

function readMemory(pid: number, address: number, size: number): Buffer {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const buffer = Buffer.alloc(size);
  try {
    // the kernel returns less when it likes
    for (let done = 0; done < size;) {
      const more = readSync(memory, buffer, done, size - done, address + done);
      expect(more).toBeGreaterThan(0);
      done += more;
    }
  } finally {
    closeSync(memory);
  }
  return buffer;
}

/** What softcuda is to read in its Restore: `[address, size]`. @returns the sum of it, as softcuda computes it */
function ask(pid: number, pieces: readonly (readonly [number, number])[]): string {
  writeFileSync(
    reads,
    pieces.map(([address, size]) => `${address.toString(16)} ${size.toString(16)}\n`).join(''),
  );
  let sum = 0;
  for (const [address, size] of pieces)
    for (const byte of readMemory(pid, address, size)) sum = (Math.imul(sum, 31) + byte) >>> 0;
  return `${sum}\n`;
}

const answer = (): string | undefined =>
  existsSync(`${reads}.sum`) ? readFileSync(`${reads}.sum`, 'utf8') : undefined;

async function dump(workload: Workload): Promise<void> {
  const run = await machine.dump(workload, { libdir });
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
}

async function restored(options: CriuOptions = {}): Promise<CriuRun> {
  const run = await machine.restore({ libdir, ...options });
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
  return run;
}

/** What it has open; the numbers of pipes and sockets are new ones. */
async function descriptors(pid: number): Promise<string[]> {
  // it listens on one; connections of this test and of the interceptor are closed soon
  await expect.poll(() => sockets(pid)).toHaveLength(1);
  return targets(pid)
    .map((target) => target.replace(/\[\d+\]$/, ''))
    .sort();
}

const waits = (log: string): number =>
  Number(/were late; the driver has waited for (\d+) pages/.exec(log)?.[1]);

/** Starts a program with 192 MiB of memory that the driver's Restore reads, in part. */
async function start(under?: readonly string[]): Promise<{ workload: Workload; sum: string }> {
  const env = { SOFTCUDA_RESTORE_READS: reads };
  const workload = await machine.startIntercepted(env, ['--alloc', '4Mx2', '--host', '192M'], under);
  await workload.verify(); // the program's own buffers exist from now on
  const { start: first, end } = largest(workload.pid);
  const pieces = [
    [end - 9 * PAGE, 8 * PAGE],
    [first + 96 * MiB, 2 * MiB],
    [first + 64 * MiB + 100, PAGE],
  ] as const;
  return { workload, sum: ask(workload.pid, pieces) };
}

/** The driver's Restore, and so the restore thread, needs no right; a container has none. */
describe.each([
  ['of root', undefined],
  ['without CAP_SYS_PTRACE', ['setpriv', '--bounding-set', '-sys_ptrace', '--inh-caps', '-all']],
])('a program %s', (_, under) => {
  it('gets what the driver reads first, and is as if all had been there', async () => {
    const { workload, sum } = await start(under);
    const before = await workload.verify();
    const open = await descriptors(workload.pid);
    await dump(workload);

    await restored({ env: { CRIU_CUDA_LATE_MEMORY: '0' } });
    expect(answer()).toBe(sum);
    expect(await workload.verify()).toBe(before);
    expect(await descriptors(workload.pid)).toEqual(open);
    const mappings = programMappings(workload.pid);
    await machine.kill(workload.pid);

    const run = await restored({ env: slow });
    expect(waits(run.log), errorsIn(run.log)).toBeGreaterThan(0);
    expect(answer()).toBe(sum);
    expect(await workload.verify()).toBe(before);
    expect(programMappings(workload.pid)).toEqual(mappings);
    expect(await descriptors(workload.pid)).toEqual(open);
  });
});

it('is not run on when its page file has changed', async () => {
  const { workload } = await start();
  await dump(workload);
  const [file = ''] = pageFiles(machine.imagesDir);
  const page = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(page, byte, 0, 1, 30 * MiB);
  writeSync(page, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 30 * MiB);
  closeSync(page);
  const run = await machine.tryRestore({ env: slow });
  expect(run.log).toMatch(/its xxh3 is not the one in/);
  expect(run.status.filter(({ event }) => event === 'task')).toMatchObject([{ outcome: 'failed' }]);
  await expect.poll(() => readStat(workload.pid)?.state ?? 'Z').toBe('Z');
});

/** The process that has a descriptor of this kind, and whose name is this. @param not another one is looked for */
function holder(name: string, not = 0): number | undefined {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => pid !== not)
    .find((pid) => {
      try {
        const environ = readFileSync(`/proc/${pid}/environ`, 'utf8');
        return (
          readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name &&
          environ.includes(machine.runDir) &&
          readdirSync(`/proc/${pid}/fd`).some(
            (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:[userfaultfd]',
          )
        );
      } catch {
        return false; // it has just ended, or has closed the descriptor
      }
    });
}

/** A driver that waits in its Restore until it may read. */
function holdDriver(pid: number): { waits: () => Promise<unknown>; goOn: () => void } {
  const pieces = readFileSync(reads);
  rmSync(reads);
  execFileSync('mkfifo', [reads]);
  const fifo = openSync(reads, constants.O_RDWR);
  return {
    // what is written before would be lost
    waits: () => waitUntil(() => existsSync(`/proc/${pid}/fd`) && targets(pid).includes(reads)),
    goOn: () => {
      writeSync(fifo, pieces);
      closeSync(fifo);
    },
  };
}

it('kills what waits for a page when criu is killed', async () => {
  const { workload, sum } = await start();
  await dump(workload);
  const asked = readFileSync(reads);
  const driver = holdDriver(workload.pid);
  const run = machine.tryRestore({ env: slow });
  await driver.waits();
  // no page is late before the watcher has a descriptor, too
  await waitUntil(() => holder('cuda-watcher'), { interval: 1 });
  const criu = await waitUntil(() => holder('criu'));
  process.kill(criu, 'SIGSTOP');
  expect(holder('cuda-watcher'), 'somebody keeps it open').toBeDefined();
  driver.goOn();
  process.kill(criu, 'SIGKILL');
  await run;
  await expect.poll(() => readStat(workload.pid)?.state ?? 'Z').toBe('Z');
  await waitForExit(workload.pid);
  // on a busy machine it may have had all of it before
  expect([undefined, sum], 'the driver has not read zeroes').toContain(answer());
  await machine.expectNothingLeft();
  rmSync(reads);
  writeFileSync(reads, asked);
  await restored();
});

it('needs no watcher, if criu lives', async () => {
  const { workload, sum } = await start();
  const before = await workload.verify();
  await dump(workload);
  const driver = holdDriver(workload.pid);
  const run = machine.restore({ libdir, env: slow, keepStatus: true });
  process.kill(await waitUntil(() => holder('cuda-watcher'), { interval: 1 }), 'SIGKILL');
  await driver.waits();
  driver.goOn();
  expect((await run).exitCode).toBe(0);
  expect(answer()).toBe(sum);
  expect(await workload.verify()).toBe(before);
});

/** Kills watchers, one after the other. Each time another one holds the descriptor. */
async function killWatchers(times: number): Promise<void> {
  let watcher = await waitUntil(() => holder('cuda-watcher'), { interval: 1 });
  for (let i = 0; i < times; i += 1) {
    const killed = watcher;
    process.kill(killed, 'SIGKILL');
    watcher = await waitUntil(() => holder('cuda-watcher', killed), { interval: 1 });
  }
}

it('has another watcher in place of one that was killed, and of the next', async () => {
  const { workload, sum } = await start();
  const before = await workload.verify();
  const open = await descriptors(workload.pid);
  await dump(workload);
  const driver = holdDriver(workload.pid);
  const run = machine.restore({ libdir, env: slow });
  await killWatchers(2);
  await driver.waits();
  driver.goOn();
  expect((await run).exitCode).toBe(0);
  expect(answer()).toBe(sum);
  expect(await workload.verify()).toBe(before);
  expect(await descriptors(workload.pid)).toEqual(open);
});

it('kills the program when criu is killed after a watcher', async () => {
  const { workload, sum } = await start();
  await dump(workload);
  const driver = holdDriver(workload.pid);
  const run = machine.tryRestore({ env: slow });
  await killWatchers(1);
  await driver.waits();
  const criu = await waitUntil(() => holder('criu'));
  process.kill(criu, 'SIGSTOP');
  driver.goOn();
  process.kill(criu, 'SIGKILL');
  await run;
  await expect.poll(() => readStat(workload.pid)?.state ?? 'Z').toBe('Z');
  await waitForExit(workload.pid);
  expect([undefined, sum], 'the driver has not read zeroes').toContain(answer());
  await machine.expectNothingLeft();
});

/** Starts host_program.py. @returns its pid, and where its memory is */
async function startProgram(
  ...args: string[]
): Promise<{ pid: number; address: number; ended: Promise<unknown> }> {
  const script = join(projectRoot, 'test', 'helpers', 'host_program.py');
  const child = spawn('python3', [script, ...args], {
    detached: true,
    env: { ...process.env, ...machine.env, LD_PRELOAD: interceptorLibrary() },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  child.stdout.destroy();
  return { pid: child.pid ?? 0, address: parseInt(line.toString(), 16), ended };
}

/** As if an interceptor had not noticed that memory was registered. */
function forgetRegistrations(pid: number): void {
  const mailbox = readMappings(pid).find(({ path }) => path.includes('criu-cuda-mailbox'))?.start ?? 0;
  const memory = openSync(`/proc/${pid}/mem`, 'r+');
  writeSync(memory, Buffer.alloc(8), 0, 8, mailbox + 112);
  closeSync(memory);
}

const SIZE = 96 * MiB;

async function dumpProgram({ pid, ended }: { pid: number; ended: Promise<unknown> }): Promise<void> {
  const run = await machine.dumpPid(pid, { libdir });
  expect(run.exitCode, run.log.slice(-3000)).toBe(0);
  await ended;
}

it('leaves registered memory, which the driver pins, to be filled first', async () => {
  const program = await startProgram('register');
  const before = readMemory(program.pid, program.address, SIZE);
  await dumpProgram(program);
  const run = await restored({ env: slow });
  expect(run.log).not.toMatch(/were late/);
  expect(readMemory(program.pid, program.address, SIZE).equals(before)).toBe(true);
  await machine.kill(program.pid);
});

it('is brought in around a seccomp filter that forbids userfaultfd', async () => {
  const program = await startProgram('filter');
  const before = readMemory(program.pid, program.address, SIZE);
  await dumpProgram(program);
  const run = await restored({ env: slow });
  expect(waits(run.log)).toBeGreaterThanOrEqual(0);
  expect(readMemory(program.pid, program.address, SIZE).equals(before)).toBe(true);
  await machine.kill(program.pid);
});

it('is refused where the driver pins it after all, and a second try fills it first', async () => {
  const program = await startProgram('register');
  const before = readMemory(program.pid, program.address, SIZE);
  forgetRegistrations(program.pid);
  await dumpProgram(program);

  const run = await machine.tryRestore({ env: slow });
  expect(run.log).toMatch(/while a part of its host memory was still being filled.*CRIU_CUDA_LATE_MEMORY=0/);
  await expect.poll(() => readStat(program.pid)?.state ?? 'Z').toBe('Z');
  await waitForExit(program.pid);

  const again = await restore({ imagesDir: machine.imagesDir, libdir, env: { ...machine.env, ...slow } });
  expect(again.result.warnings.join()).toMatch(/the second try, with CRIU_CUDA_LATE_MEMORY=0, has succeeded/);
  expect(readMemory(program.pid, program.address, SIZE).equals(before)).toBe(true);
  await again.kill();
});
