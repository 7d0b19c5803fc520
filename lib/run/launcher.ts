// SPDX-License-Identifier: MIT
/**
 * criu-cuda-run, the small program in C that starts a program so that it can be dumped: without io_uring, in a session
 * of its own, with nothing of Node's process.
 * @module
 */
import { existsSync } from 'node:fs';
import { checkPath } from '../check.ts';
import { EnvironmentError } from '../errors.ts';
import { builtProgram, type Environment } from '../paths.ts';
import { goEnvironment } from './go-env.ts';
import { preloadEnvironment } from './preload-env.ts';

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
  /** A file to which stdout and stderr are appended; it may grow between a dump and its restore. @default none */
  log?: string | undefined;
  /**
   * Whether the program may use io_uring. A program that does cannot be dumped. Without CAP_SYS_ADMIN, forbidding it
   * takes no_new_privs: set-user-id programs that the program starts gain no rights.
   * @default false
   */
  allowIoUring?: boolean | undefined;
}

/** The same, and what only the command line asks for. */
export interface LaunchOptions extends StartOptions {
  /** Print the pid and return. */
  detach?: boolean | undefined;
  /** Print no line about the program. */
  quiet?: boolean | undefined;
  /** Print the pid as JSON. */
  json?: boolean | undefined;
}

/** A command line of the launcher. */
export interface Launch {
  /** Path of the launcher. */
  path: string;
  /** Its arguments. */
  args: string[];
}

/** Variables of the program that this process does not have. */
function addedVariables(options: StartOptions): string[] {
  const env: Environment = { ...process.env, ...options.env };
  const added = { ...options.env, ...goEnvironment(env), ...preloadEnvironment(options.interceptor, env) };
  return Object.entries(added).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
}

/**
 * The command line that starts a program.
 * @throws {@link EnvironmentError} the launcher is not built
 */
export function launch(options: LaunchOptions): Launch {
  const { command, args = [], log, allowIoUring, detach, quiet, json } = options;
  checkPath('command', command);
  if (log !== undefined) checkPath('log', log);
  const path = builtProgram('criu-cuda-run');
  if (!existsSync(path)) {
    throw new EnvironmentError('the launcher is not built', [{ what: path, remedy: 'criu-cuda build' }]);
  }
  const flags = [
    ...['--reset', String(process.ppid)],
    ...(log === undefined ? [] : ['--log', log]),
    ...(allowIoUring === true ? ['--allow-io-uring'] : []),
    ...(detach === true ? ['--detach'] : []),
    ...(quiet === true ? ['--quiet'] : []),
    ...(json === true ? ['--json'] : []),
    ...addedVariables(options).flatMap((variable) => ['--env', variable]),
  ];
  return { path, args: [...flags, '--', command, ...args] };
}
