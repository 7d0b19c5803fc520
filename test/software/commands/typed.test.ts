// SPDX-License-Identifier: MIT
/**
 * What the command line adds to criu's own time, as a person sees it who types a command: in pairs with the time that Node
 * takes to start, on this machine and at this moment. Needs `npm run build:ts`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { builtProgram, programFile, projectRoot } from '../../../lib/paths.ts';
import { killTree, readProcessTree, readStat, waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

/** Rounds at most. Another program may need the processors meanwhile; what is asked for has to be seen once. */
const ROUNDS = 30;
/** Rounds at least, so that both sides of a comparison have had an undisturbed moment. */
const FIRST_ROUNDS = 5;
/** Starts of Node that a command may cost; the aim for checkpoint and restore is two as well. */
const STARTS = 2;
const OPERATION_STARTS = 2.3;
/** Starts of Node that take together about as long as a command that runs criu. */
const ROW = 5;
/** Less than the five seconds for which a checkpoint once waited for the parent, and more than all else takes. */
const AT_ONCE_MS = 2500;
const ALLOWED_MS = 30;
/**
 * What a server with 4,500 mapped files, 300 threads and 500 sockets and pipes may cost on top of that, in starts of Node: a restore
 * reads a megabyte about its files and asks the kernel for each of them. A checkpoint reads what the kernel says about all of
 * this, too, lists the files, and waits until the processes have ended.
 */
const SERVER_STARTS = { checkpoint: 8, restore: 3.5 };
const SERVER_FILES = 4500;
const TIMEOUT_MS = 300_000;

/** A server that maps files. */
const manyFiles = join(projectRoot, 'test/fixtures/servers/many_files.py');

let machine: Machine;
let workload: Workload;
beforeEach(async () => {
  machine = new Machine();
  workload = await machine.start({ args: ['--alloc', '1M'] });
});
afterEach(async () => {
  await machine.close();
});

interface Timed {
  ms: number;
  stdout: string;
}

/** Certificates that only this machine has would be read at every start of Node, and make it look slow. */
const plain = { NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined };

/** Runs node as a shell would, from before its start to its end. */
async function timed(...args: string[]): Promise<Timed> {
  // a cache of its own: what is kept there depends on what is typed first
  const own = { XDG_CACHE_HOME: machine.dir, CRIU_CUDA_CRIU: criuProgram() };
  const env = { ...process.env, ...plain, ...machine.env, ...own };
  const start = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, [code]] = await Promise.all([text(child.stdout), ended]);
  const ms = performance.now() - start;
  expect([args, code]).toEqual([args, 0]);
  return { ms, stdout };
}

const typed = (...args: string[]): Promise<Timed> => timed(programFile, ...args);
const nodeMs = async (): Promise<number> => (await timed('-e', '0')).ms;

async function rowMs(): Promise<number> {
  let sum = 0;
  for (let i = 0; i < ROW; i += 1) sum += await nodeMs();
  return sum;
}

/**
 * What other work on this machine adds to a command that runs criu, as a factor; 1 on an idle machine. An undisturbed
 * moment is long enough for one start of Node more often than for several in a row; and of criu, its plugin and the
 * command two run at a time, so that two processors have to be undisturbed.
 */
const disturbance = ({ node, row }: { node: number; row: number }): number =>
  Math.max(1, row / (ROW * node)) ** 2;

/** The shortest time of each of these, which are measured in turns until the times are short enough. */
async function shortest<Name extends string>(
  measures: Record<Name, () => Promise<number>>,
  isEnough: (best: Record<Name, number>) => boolean,
): Promise<Record<Name, number>> {
  const names = Object.keys(measures) as Name[];
  const best = Object.fromEntries(names.map((name) => [name, Number.POSITIVE_INFINITY])) as Record<
    Name,
    number
  >;
  for (let round = 0; round < FIRST_ROUNDS || (round < ROUNDS && !isEnough(best)); round += 1) {
    for (const name of names) best[name] = Math.min(best[name], await measures[name]());
  }
  return best;
}

/** @param more starts of Node on top of those of a small program */
const allowedMs = (reference: { node: number; row: number }, more = 0): number =>
  ((OPERATION_STARTS + more) * reference.node + ALLOWED_MS) * disturbance(reference);

/** What a command takes besides criu. */
async function besides(...args: string[]): Promise<number> {
  const { ms, stdout } = await typed(...args, '--images-dir', machine.imagesDir, '--json');
  const { durationMs } = JSON.parse(stdout) as { durationMs: number };
  return ms - durationMs;
}

/** Checkpoints and restores a program until both take no longer than they may. */
async function expectQuick(program: Workload, more = { checkpoint: 0, restore: 0 }): Promise<void> {
  for (const command of ['checkpoint', 'restore']) await typed(command, '--help');
  const before = await program.verify();
  let isFirst = true;
  const best = await shortest(
    {
      node: nodeMs,
      row: rowMs,
      checkpoint: async () => {
        // this process is the parent of what was restored, as an init would be
        const [root = 0, ...others] = readProcessTree(program.pid).map(({ pid }) => pid);
        const collected = isFirst ? program.ended() : waitForExit(root);
        isFirst = false;
        const ms = await besides('checkpoint', '--pid', String(root), '--force');
        await collected;
        await Promise.all(others.map((pid) => waitForExit(pid)));
        return ms;
      },
      restore: () => besides('restore', '--detach'),
    },
    ({ checkpoint, restore, ...reference }) =>
      checkpoint <= allowedMs(reference, more.checkpoint) && restore <= allowedMs(reference, more.restore),
  );
  expect(await program.verify()).toBe(before);
  await killTree(program.pid);
  expect(best.restore, JSON.stringify(best)).toBeLessThanOrEqual(allowedMs(best, more.restore));
  expect(best.checkpoint, JSON.stringify(best)).toBeLessThanOrEqual(allowedMs(best, more.checkpoint));
}

/** Starts a program, says its pid, and collects nothing. */
const parentOfZombie = `
import signal, subprocess
quiet = subprocess.DEVNULL
program = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
print(program.pid, flush=True)
signal.pause()`;

describe('what is typed', () => {
  it('costs at most two starts of Node for --version', async () => {
    const measures = { node: nodeMs, version: async () => (await typed('--version')).ms };
    const best = await shortest(measures, ({ node, version }) => version <= STARTS * node);
    expect(best.version / best.node).toBeLessThanOrEqual(STARTS);
  });

  it(
    'costs at most 2.3 starts of Node and 30 ms besides criu for checkpoint and restore, whatever was typed before',
    { timeout: TIMEOUT_MS },
    () => expectQuick(workload),
  );

  it(
    'costs little more for a server with thousands of files, and hundreds of threads and sockets',
    { timeout: TIMEOUT_MS },
    async () => {
      const modules = join(projectRoot, 'node_modules');
      const all = readdirSync(modules, { recursive: true, withFileTypes: true });
      const paths = all
        .filter((one) => one.isFile() && !one.parentPath.includes('/.'))
        .map((one) => join(one.parentPath, one.name));
      const list = join(machine.dir, 'files');
      writeFileSync(
        list,
        paths
          .slice(0, SERVER_FILES)
          .map((path) => `${path}\n`)
          .join(''),
      );
      expect(paths.length).toBeGreaterThanOrEqual(SERVER_FILES);
      const server = await machine.start({
        program: ['python3', manyFiles, list, builtProgram('workload-pattern')],
        args: ['--alloc', '1M'],
      });
      await expectQuick(server, SERVER_STARTS);
    },
  );

  /** @returns what a checkpoint takes besides criu */
  async function checkpointChild(): Promise<number> {
    const parent = spawn('python3', ['-c', parentOfZombie], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const pid = Number(String(((await once(parent.stdout, 'data')) as [Buffer])[0]));
      const { env, imagesDir } = machine;
      const start = performance.now();
      const result = await checkpoint({ pid, imagesDir, env, criu: criuProgram(), force: true });
      const besides = performance.now() - start - result.durationMs;
      expect(readStat(pid)).toMatchObject({ state: 'Z', ppid: parent.pid });
      expect(result.warnings.join('\n')).toContain(
        `${pid} is a zombie until its parent ${parent.pid ?? 0} (`,
      );
      return besides;
    } finally {
      parent.kill('SIGKILL');
    }
  }

  it('does not wait for a parent that never collects its child', async () => {
    const measures = { besides: checkpointChild };
    const best = await shortest(measures, ({ besides }) => besides < AT_ONCE_MS);
    expect(best.besides).toBeLessThan(AT_ONCE_MS);
  });
});
