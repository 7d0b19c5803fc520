// SPDX-License-Identifier: MIT
/**
 * Runs a program so that it can be checkpointed: as the leader of its own session, with the interceptor preloaded where
 * the variant needs it.
 * @module
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { describeError, UsageError } from '../errors.ts';
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

function statusOf(code: number | null, signal: NodeJS.Signals | null): ExitStatus {
  if (code !== null) return { kind: 'exited', code };
  if (signal === null) return { kind: 'unknown' };
  return { kind: 'signaled', signal: constants.signals[signal], coreDumped: false };
}

const cannotRun = (command: string, error: unknown): UsageError =>
  new UsageError(`cannot run ${command}: ${describeError(error)}`);

function start(command: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  try {
    return spawn(command, args, { stdio: 'inherit', detached: true, env });
  } catch (error) {
    throw cannotRun(command, error); // such as too many arguments
  }
}

/**
 * Starts a program with the caller's stdin, stdout and stderr. While it runs, signals to the caller are passed on to
 * it, except those that stop a program: passing those on is up to the caller.
 * @throws {@link UsageError} the program cannot be run
 */
export async function startProgram(options: StartOptions): Promise<RunningProgram> {
  const { command, args = [], interceptor } = options;
  checkPath('command', command);
  const child = start(command, args, {
    ...process.env,
    ...options.env,
    ...preloadEnvironment(interceptor, { ...process.env, ...options.env }),
  });
  const { pid } = child;
  if (pid === undefined) {
    const [error] = (await once(child, 'error')) as [Error];
    throw cannotRun(command, error);
  }
  const send = (signal: NodeJS.Signals): void => void child.kill(signal);
  const listeners = passedOn.map((signal) => ({
    signal,
    listener: () => {
      send(signal);
    },
  }));
  for (const { signal, listener } of listeners) process.on(signal, listener);
  const ended = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      for (const { signal: one, listener } of listeners) process.off(one, listener);
      resolve(statusOf(code, signal));
    });
  });
  return { pid, send, ended };
}
