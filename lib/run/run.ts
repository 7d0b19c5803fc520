// SPDX-License-Identifier: MIT
/**
 * Runs a program so that it can be checkpointed: as the leader of its own session, without io_uring, with the
 * interceptor preloaded where the variant needs it.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describeError, UsageError } from '../errors.ts';
import type { ExitStatus } from '../process/index.ts';
import { launch, type Launch, type StartOptions } from './launcher.ts';

/** A program that was started. */
export interface RunningProgram {
  /** Pid of the program, which leads its own session. */
  readonly pid: number;
  /** Sends a signal to the program. */
  readonly send: (signal: NodeJS.Signals) => void;
  /** Resolves when the program has ended. */
  readonly ended: Promise<ExitStatus>;
}

/** Signals that a user may send to a program, except those that stop it. */
const passedOn = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGALRM', 'SIGCONT'] as const;

function statusOf(code: number | null, signal: NodeJS.Signals | null): ExitStatus {
  if (code !== null) return { kind: 'exited', code };
  if (signal === null) return { kind: 'unknown' };
  return { kind: 'signaled', signal: constants.signals[signal], coreDumped: false };
}

const cannotRun = (command: string, error: unknown): UsageError =>
  new UsageError(`cannot run ${command}: ${describeError(error)}`);

/** Where the launcher writes why it cannot start the program; a descriptor of the launcher. */
const REPORT = 3;

function spawnLauncher({ path, args }: Launch): ChildProcess {
  try {
    return spawn(path, ['--report', String(REPORT), ...args], {
      stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
      detached: true,
    });
  } catch (error) {
    throw cannotRun(path, error); // such as too many arguments
  }
}

/**
 * Runs the launcher as the leader of a session, so that it becomes the program, with the caller's stdin, stdout and
 * stderr. While it runs, signals to the caller are passed on to it, except those that stop a program.
 * @throws {@link UsageError} the program cannot be run
 */
export async function startLaunch(start: Launch): Promise<RunningProgram> {
  const child = spawnLauncher(start);
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  exit.catch(() => undefined); // an error is reported below
  const { pid } = child;
  if (pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    throw cannotRun(start.path, error);
  }
  // closed when the program is executed
  const reason = await text(child.stdio[REPORT] as Readable);
  if (reason !== '') throw new UsageError(reason);
  const send = (signal: NodeJS.Signals): void => void child.kill(signal);
  const listeners = passedOn.map((signal) => ({
    signal,
    listener: () => {
      send(signal);
    },
  }));
  for (const { signal, listener } of listeners) process.on(signal, listener);
  const ended = exit.then(([code, signal]) => {
    for (const { signal: one, listener } of listeners) process.off(one, listener);
    return statusOf(code, signal);
  });
  return { pid, send, ended };
}

/**
 * Starts a program with the caller's stdin, stdout and stderr, and no other descriptors. While it runs, signals to the
 * caller are passed on to it, except those that stop a program: passing those on is up to the caller.
 * @throws {@link UsageError} the program cannot be run
 * @throws `EnvironmentError` the C parts are not built
 */
export function startProgram(options: StartOptions): Promise<RunningProgram> {
  return startLaunch(launch({ ...options, quiet: true }));
}
