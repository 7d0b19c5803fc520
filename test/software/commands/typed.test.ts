// SPDX-License-Identifier: MIT
/**
 * What the command line adds to criu's own work, as a person sees it who types a command: the processor time of its process,
 * next to that of a start of Node, and the programs that it starts. Other work on the machine makes a command last longer, but
 * hardly costs it processor time. Needs `npm run build:ts`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { builtProgram, programFile, projectRoot } from '../../../lib/paths.ts';
import { killTree, readProcessTree, readStat, waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

/** Rounds at most. A processor that is shared makes all programs slower; what is asked for has to be seen once. */
const ROUNDS = 30;
/** Rounds at least, so that both sides of a comparison have had an undisturbed moment. */
const FIRST_ROUNDS = 3;
/** What a command may cost, in starts of Node. */
const STARTS = { version: 2, checkpoint: 4.5, restore: 4 };
/**
 * The same for a server with 4,500 mapped files, 300 threads and 500 sockets and pipes: a restore reads a megabyte about its
 * files and asks the kernel for each of them. A checkpoint reads what the kernel says about all of this, too, lists the files,
 * and reads a part of each while criu works.
 */
const SERVER_STARTS = { checkpoint: 35, restore: 10 };
const SERVER_FILES = 4500;
/** Less than the five seconds for which a checkpoint once waited for the parent, and more than all else takes. Milliseconds. */
const AT_ONCE_MS = 2500;
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

/** What a command cost. */
interface Cost {
  /** Of its own threads, in user and kernel mode; what it starts is not counted. Milliseconds. */
  cpuMs: number;
  /** Names of the programs that it started, in order. */
  programs: string[];
}

/** Runs in the command's process before the command; at its end, writes what it cost. */
const meter = `
const { basename } = require('node:path');
const { ChildProcess } = require('node:child_process');
const { USAGE_FILE } = process.env;
const programs = [];
const start = ChildProcess.prototype.spawn;
ChildProcess.prototype.spawn = function (options) {
  programs.push(basename(options.file));
  return start.call(this, options);
};
process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  require('node:fs').writeFileSync(USAGE_FILE, JSON.stringify({ cpuMs: (user + system) / 1000, programs }));
});`;

/** Certificates that only this machine has would be read at every start of Node, and make it look slow. */
const plain = { NODE_EXTRA_CA_CERTS: undefined, NODE_OPTIONS: undefined };

/** Runs node as a shell would. */
async function run(...args: string[]): Promise<Cost & { stdout: string; ms: number }> {
  const usage = join(machine.dir, 'usage.json');
  const metered = join(machine.dir, 'meter.cjs');
  writeFileSync(metered, meter);
  // a cache of its own: what is kept there depends on what is typed first
  const own = { XDG_CACHE_HOME: machine.dir, CRIU_CUDA_CRIU: criuProgram(), USAGE_FILE: usage };
  const env = { ...process.env, ...plain, ...machine.env, ...own };
  const start = performance.now();
  const child = spawn(process.execPath, ['--require', metered, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const [stdout, [code]] = await Promise.all([text(child.stdout), ended]);
  const ms = performance.now() - start;
  expect([args, code]).toEqual([args, 0]);
  return { ...(JSON.parse(readFileSync(usage, 'utf8')) as Cost), stdout, ms };
}

const typed = (...args: string[]): ReturnType<typeof run> => run(programFile, ...args);
const nodeMs = async (): Promise<number> => (await run('-e', '0')).cpuMs;

/** The least of each of these, which are measured in turns until all of it is little enough. */
async function least<Name extends string>(
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

/** What a command starts, in order; the first one on a machine asks criu for its version, too. */
const PROGRAMS = { checkpoint: ['cuda-look', 'criu'], restore: ['criu'] };

/** Checkpoints and restores a program until both cost no more than they may. */
async function expectCheap(
  program: Workload,
  allowed: { checkpoint: number; restore: number },
): Promise<void> {
  const besidesMs = { checkpoint: Number.POSITIVE_INFINITY, restore: Number.POSITIVE_INFINITY };
  const started: Partial<Record<'checkpoint' | 'restore', string[]>> = {};
  const operate = async (command: 'checkpoint' | 'restore', ...args: string[]): Promise<number> => {
    const { cpuMs, programs, ms, stdout } = await typed(
      ...[command, ...args, '--images-dir', machine.imagesDir, '--json'],
    );
    started[command] = programs;
    const { durationMs } = JSON.parse(stdout) as { durationMs: number };
    besidesMs[command] = Math.min(besidesMs[command], ms - durationMs);
    return cpuMs;
  };
  for (const command of ['checkpoint', 'restore']) await typed(command, '--help');
  const before = await program.verify();
  let isFirst = true;
  const best = await least(
    {
      node: nodeMs,
      checkpoint: async () => {
        // this process is the parent of what was restored, as an init would be
        const [root = 0, ...others] = readProcessTree(program.pid).map(({ pid }) => pid);
        const collected = isFirst ? program.ended() : waitForExit(root);
        isFirst = false;
        const cpuMs = await operate('checkpoint', '--pid', String(root), '--force');
        await collected;
        await Promise.all(others.map((pid) => waitForExit(pid)));
        return cpuMs;
      },
      restore: () => operate('restore', '--detach'),
    },
    ({ node, checkpoint, restore }) =>
      checkpoint <= allowed.checkpoint * node &&
      restore <= allowed.restore * node &&
      Math.max(besidesMs.checkpoint, besidesMs.restore) < AT_ONCE_MS,
  );
  expect(await program.verify()).toBe(before);
  await killTree(program.pid);
  expect(started).toEqual(PROGRAMS);
  expect(best.checkpoint, JSON.stringify(best)).toBeLessThanOrEqual(allowed.checkpoint * best.node);
  expect(best.restore, JSON.stringify(best)).toBeLessThanOrEqual(allowed.restore * best.node);
  expect(besidesMs.checkpoint).toBeLessThan(AT_ONCE_MS);
  expect(besidesMs.restore).toBeLessThan(AT_ONCE_MS);
}

/** Starts a program, says its pid, and collects nothing. */
const parentOfZombie = `
import signal, subprocess
quiet = subprocess.DEVNULL
program = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
print(program.pid, flush=True)
signal.pause()`;

describe('what is typed', () => {
  it('costs at most two starts of Node for --version, and starts nothing', async () => {
    expect((await typed('--version')).programs).toEqual([]);
    const measures = { node: nodeMs, version: async () => (await typed('--version')).cpuMs };
    const best = await least(measures, ({ node, version }) => version <= STARTS.version * node);
    expect(best.version / best.node).toBeLessThanOrEqual(STARTS.version);
  });

  it(
    'costs at most a few starts of Node besides criu for checkpoint and restore, whatever was typed before',
    { timeout: TIMEOUT_MS },
    () => expectCheap(workload, STARTS),
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
      await expectCheap(server, SERVER_STARTS);
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
    const best = await least(measures, ({ besides }) => besides < AT_ONCE_MS);
    expect(best.besides).toBeLessThan(AT_ONCE_MS);
  });
});
