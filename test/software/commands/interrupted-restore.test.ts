// SPDX-License-Identifier: MIT
/** A `criu-cuda restore` that stays with its program and is interrupted, as by the scheduler of a cluster. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, isEnding, readStat } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const TIMEOUT_MS = 120_000;
const cli = join(projectRoot, 'dist', 'cli.cjs');
const LOCK = 'cuCheckpointProcessLock';

let machine: Machine;
let marks: string;
beforeEach(() => {
  machine = new Machine();
  marks = join(machine.dir, 'marks');
  mkdirSync(marks);
});
afterEach(() => machine.close());

/** Checkpoints a workload and restores it by a command that stays. */
async function restored(
  under: readonly string[] | undefined,
  lock: number | 'hang',
): Promise<{ command: ChildProcess; pid: number }> {
  const { pid } = await machine.start({ under });
  const words = [cli, 'checkpoint', String(pid), machine.imagesDir];
  const dumped = await execResult(process.execPath, words, { env: machine.env });
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  // only the command itself asks the driver to lock a process: the call leaves a mark
  const env = {
    ...process.env,
    ...machine.env,
    SOFTCUDA_FAIL: `${LOCK}:1:${lock}`,
    SOFTCUDA_FAIL_MARKS: marks,
  };
  const child = spawn(process.execPath, [cli, 'restore', machine.imagesDir], {
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await waitUntil(() => said.includes(`restored ${pid} in`));
  return { command: child, pid };
}

interface HowInterrupted {
  under?: readonly string[];
  signal?: NodeJS.Signals;
}

/** Sends a signal to such a command, and waits for its end. @returns its exit code and the pid of the program */
async function interrupt({ under, signal = 'SIGTERM' }: HowInterrupted = {}): Promise<{
  code: unknown;
  pid: number;
}> {
  const { command, pid } = await restored(under, 999);
  const ended = once(command, 'close');
  command.kill(signal);
  const [code] = (await ended) as [unknown];
  return { code, pid };
}

it(
  'has the driver take a program that ignores SIGTERM off the GPU before it kills it',
  async () => {
    const { code, pid } = await interrupt({ under: ['env', '--ignore-signal=TERM'] });
    expect(code).toBe(143);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(join(marks, `failed-${LOCK}`))).toBe(true);
  },
  TIMEOUT_MS,
);

it(
  'leaves the end to a program that ends by itself',
  async () => {
    const { code, pid } = await interrupt();
    expect(code).toBe(143);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(join(marks, `failed-${LOCK}`))).toBe(false);
  },
  TIMEOUT_MS,
);

it(
  'ends what it has restored after Ctrl-\\, too',
  async () => {
    const { code, pid } = await interrupt({ signal: 'SIGQUIT' });
    expect(code).toBe(131);
    expect(isAlive(pid)).toBe(false);
  },
  TIMEOUT_MS,
);

it(
  'leaves no process and no file when a second signal ends it while criu restores, but what its shell had started',
  async () => {
    const program = spawn('setsid', ['sleep', '3600'], { stdio: 'ignore' });
    const pid = program.pid ?? 0;
    await waitUntil(() => readStat(pid)?.comm === 'sleep');
    const words = [cli, 'checkpoint', String(pid), machine.imagesDir];
    const dumped = await execResult(process.execPath, words, { env: machine.env });
    expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
    const temporary = join(machine.dir, 'temporary');
    mkdirSync(temporary);
    // everything is restored then, and waits for criu
    const interruptions = 'kill -HUP $COMMAND; kill -TERM $COMMAND; sleep 60';
    const restore = `exec ${process.execPath} ${cli} restore --post-restore '${interruptions}' ${machine.imagesDir}`;
    const sidecarFile = join(machine.dir, 'sidecar');
    const sidecarOf = `sleep 3600 & echo $! > ${sidecarFile}`;
    const child = spawn('sh', ['-c', `export COMMAND=$$; ${sidecarOf}; ${restore}`], {
      env: { ...process.env, ...machine.env, TMPDIR: temporary },
      stdio: 'ignore',
    });
    const [code] = (await once(child, 'exit')) as [unknown];
    expect([129, 143]).toContain(code);
    const sidecar = Number(readFileSync(sidecarFile, 'utf8'));
    try {
      expect(isEnding(sidecar)).toBe(false);
      await waitUntil(() => !isAlive(pid));
      expect(readdirSync(temporary)).toEqual([]);
    } finally {
      for (const one of [pid, sidecar]) if (isAlive(one)) process.kill(one, 'SIGKILL');
    }
  },
  TIMEOUT_MS,
);

/** A signal has reached the process, which blocks it. */
const isPending = (pid: number, signal: number): boolean => {
  const pending = /^ShdPnd:\t(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (BigInt(`0x${pending ?? '0'}`) & (1n << BigInt(signal - 1))) !== 0n;
};

it(
  'ends at a second Ctrl-C, and the program with it, whatever the first one waits for',
  async () => {
    // the first one waits for the program, which does not take SIGTERM, and then for the driver
    const { command, pid } = await restored(['env', '--block-signal=TERM'], 'hang');
    const ended = once(command, 'close');
    command.kill('SIGINT');
    await waitUntil(() => isPending(pid, constants.signals.SIGTERM));
    expect(isAlive(pid)).toBe(true);
    command.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    await waitUntil(() => !isAlive(pid));
  },
  TIMEOUT_MS,
);
