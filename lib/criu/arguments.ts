// SPDX-License-Identifier: MIT
/**
 * Command lines of criu. Options have CRIU's own names.
 * @module
 */

import { criuFlagNames, criuFlagWords, type CriuFlags } from './flags.ts';

/** Options of both dump and restore. */
export interface CriuOptions extends CriuFlags {
  /** Absolute path. */
  imagesDir: string;
  /** Absolute path of the directory for logs and statistics. */
  workDir: string;
  /** Directory where CRIU looks for plugins. @default CRIU's own */
  libdir?: string | undefined;
  /** Log level from 0 to 4, see CRIU's `-v`. @default 3 */
  verbosity?: number | undefined;
  /** Added unchanged at the end; when an option occurs twice, CRIU uses the last one. */
  extraArgs?: readonly string[] | undefined;
}

export interface DumpArguments extends CriuOptions {
  pid: number;
  leaveRunning?: boolean | undefined;
  /** The user is not root, and has capabilities instead: criu wants to be told, and dumps this user's processes. */
  unprivileged?: boolean | undefined;
  /** How packets of TCP connections are kept away. @default CRIU's own */
  networkLock?: string | undefined;
  /** A program that criu runs at each of its stages, with CRTOOLS_SCRIPT_ACTION in its environment. */
  actionScript?: string | undefined;
}

export interface RestoreArguments extends CriuOptions {
  /** Absolute path of a file for the root task's pid; CRIU refuses a file that exists. */
  pidFile: string;
  /** Leave the tasks stopped, as after SIGSTOP. */
  leaveStopped?: boolean | undefined;
  /** Resources of the images that take the place of ours, see CRIU's `--inherit-fd`: `fd[3]:pipe:[42]`. */
  inheritFds?: readonly string[] | undefined;
}

export const dumpLog = 'dump.log';
export const restoreLog = 'restore.log';

function commonArguments(options: CriuOptions, log: string): string[] {
  return [
    '--images-dir',
    options.imagesDir,
    '--work-dir',
    options.workDir,
    '--log-file',
    log,
    `-v${options.verbosity ?? 3}`,
    ...(options.libdir === undefined ? [] : ['--libdir', options.libdir]),
    ...criuFlagWords(options, criuFlagNames),
  ];
}

/**
 * Clients whose connection was not accepted yet connect again. Deleted files that are open are in the images, however
 * large: CRIU's limit of 1 MiB refuses most of them.
 */
const dumpDefaults = ['--skip-in-flight', '--ghost-limit', '1024G'];

/** Arguments of `criu` for a dump. */
export function dumpArguments(options: DumpArguments): string[] {
  return [
    'dump',
    '--tree',
    String(options.pid),
    ...commonArguments(options, dumpLog),
    ...dumpDefaults,
    ...(options.unprivileged === true ? ['--unprivileged'] : []),
    ...(options.leaveRunning === true ? ['--leave-running'] : []),
    ...(options.networkLock === undefined ? [] : ['--network-lock', options.networkLock]),
    ...(options.actionScript === undefined ? [] : ['--action-script', options.actionScript]),
    ...(options.extraArgs ?? []),
  ];
}

/** Arguments of `criu` for a restore whose tasks are adopted by the nearest subreaper. */
export function restoreArguments(options: RestoreArguments): string[] {
  return [
    'restore',
    '--restore-detached',
    '--pidfile',
    options.pidFile,
    ...commonArguments(options, restoreLog),
    ...(options.leaveStopped === true ? ['--leave-stopped'] : []),
    ...(options.inheritFds ?? []).flatMap((one) => ['--inherit-fd', one]),
    ...(options.extraArgs ?? []),
  ];
}
