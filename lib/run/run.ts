// SPDX-License-Identifier: MIT
/**
 * Runs a program so that it can be checkpointed: as the leader of its own session, with the interceptor preloaded where
 * the variant needs it.
 * @module
 */
import { constants } from 'node:os';
import { execa } from 'execa';
import { UsageError } from '../errors.ts';
import type { ExitStatus } from '../process/index.ts';
import { preloadEnvironment } from './preload-env.ts';
import { checkPath } from '../check.ts';

/** The program to start. */
export interface StartOptions {
  /** Path or name of the program. */
  command: string;
  /** Arguments of the program. @default none */
  args?: readonly string[] | undefined;
  /** Added to the environment. */
  env?: Record<string, string | undefined> | undefined;
  /** Path of a library to preload. @default none */
  interceptor?: string | undefined;
}

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
const passedOn = ['SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH', 'SIGALRM', 'SIGCONT'] as const;

interface Ending {
  exitCode?: number | undefined;
  signal?: string | undefined;
}

function statusOf({ exitCode, signal }: Ending): ExitStatus {
  if (exitCode !== undefined) return { kind: 'exited', code: exitCode };
  const numbers: Readonly<Record<string, number | undefined>> = constants.signals;
  const number = signal === undefined ? undefined : numbers[signal];
  return number === undefined ? { kind: 'unknown' } : { kind: 'signaled', signal: number, coreDumped: false };
}

/**
 * Starts a program with the caller's stdin, stdout and stderr. While it runs, signals to the caller are passed on to
 * it, except those that stop a program: passing those on is up to the caller.
 * @throws {@link UsageError} the program cannot be run
 */
export async function startProgram(options: StartOptions): Promise<RunningProgram> {
  const { command, args = [], interceptor } = options;
  checkPath('command', command);
  const child = execa(command, args, {
    stdio: 'inherit',
    detached: true,
    reject: false,
    cleanup: false,
    forceKillAfterDelay: false,
    env: { ...options.env, ...preloadEnvironment(interceptor, { ...process.env, ...options.env }) },
  });
  const { pid } = child;
  if (pid === undefined) {
    const { originalMessage } = await child;
    throw new UsageError(`cannot run ${command}: ${originalMessage ?? 'unknown reason'}`);
  }
  const send = (signal: NodeJS.Signals): void => void child.kill(signal);
  const listeners = passedOn.map((signal) => ({
    signal,
    listener: () => {
      send(signal);
    },
  }));
  for (const { signal, listener } of listeners) process.on(signal, listener);
  const ended = child.then((result) => {
    for (const { signal, listener } of listeners) process.off(signal, listener);
    return statusOf(result);
  });
  return { pid, send, ended };
}
