// SPDX-License-Identifier: MIT
/**
 * Command lines of criu. Options have CRIU's own names.
 * @module
 */

import { criuFlagNames, criuFlagWords, type CriuFlags } from './flags.ts';

/** What dump and restore have in common. */
export interface CriuOptions extends CriuFlags {
  /** Absolute. */
  imagesDir: string;
  /** Absolute; logs and statistics go there. */
  workDir: string;
  /** Where CRIU looks for plugins; its own default when missing. */
  libdir?: string | undefined;
  /** 0 to 4, see CRIU's `-v`. @default 3 */
  verbosity?: number | undefined;
  /** Added as they are; CRIU lets the last of two equal options win. */
  extraArgs?: readonly string[] | undefined;
}

export interface DumpArguments extends CriuOptions {
  pid: number;
  leaveRunning?: boolean | undefined;
}

export interface RestoreArguments extends CriuOptions {
  /** Absolute; CRIU writes the root task's pid there and refuses a file that exists. */
  pidFile: string;
  /** The tasks stand still, as after SIGSTOP. */
  leaveStopped?: boolean | undefined;
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

/** Arguments of `criu` for a dump. */
export function dumpArguments(options: DumpArguments): string[] {
  return [
    'dump',
    '--tree',
    String(options.pid),
    ...commonArguments(options, dumpLog),
    ...(options.leaveRunning === true ? ['--leave-running'] : []),
    ...(options.extraArgs ?? []),
  ];
}

/** Arguments of `criu` for a restore that leaves the tasks to the nearest subreaper. */
export function restoreArguments(options: RestoreArguments): string[] {
  return [
    'restore',
    '--restore-detached',
    '--pidfile',
    options.pidFile,
    ...commonArguments(options, restoreLog),
    ...(options.leaveStopped === true ? ['--leave-stopped'] : []),
    ...(options.extraArgs ?? []),
  ];
}
