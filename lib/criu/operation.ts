// SPDX-License-Identifier: MIT
/**
 * What both checkpoint and restore need besides the images: the criu program, the plugin, and the run directory for the
 * plugin's status file.
 * @module
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { loadSettings } from '../settings/index.ts';
import { checkWritable } from '../directory.ts';
import { UsageError } from '../errors.ts';
import { currentSystem, findCriu, noCriuError } from '../machine/index.ts';
import type { Environment } from '../paths.ts';
import { checkRunDir } from '../run-dir.ts';
import type { CriuOptions } from './arguments.ts';
import { completeFlags, type CriuFlags } from './flags.ts';
import { choosePlugin, type PluginChoice, type PluginUse, type UsedPlugin } from './plugin-dir.ts';
import type { OnTransfer } from '../process/index.ts';
import type { TraceOptions } from './trace/index.ts';
import { checkMilliseconds, checkPath } from '../check.ts';

/** Options of both operations. An option without a default here has CRIU's own. */
export interface OperationOptions extends PluginChoice, CriuFlags {
  /** The images directory; required. */
  imagesDir: string;
  /** Directory for logs and statistics. @default the images directory */
  workDir?: string | undefined;
  /** Path of the criu program. @default the one that `criu-cuda setup` finds or builds */
  criu?: string | undefined;
  /** Added to the environment of criu and of the plugin. */
  env?: Record<string, string | undefined> | undefined;
  /** Log level from 0 to 4. @default 3 */
  verbosity?: number | undefined;
  /** Passed to criu unchanged. */
  extraArgs?: readonly string[] | undefined;
  /** Ends criu and cleans up. */
  signal?: AbortSignal | undefined;
  /** Timeout for the run of criu, in milliseconds. @default one hour */
  timeoutMs?: number | undefined;
  /** Called about three times per second with the bytes that are copied. */
  onProgress?: OnTransfer | undefined;
  /**
   * File for a timeline of the operation, which Perfetto and Chrome open; docs/performance.md says how to read it. Not for
   * a tree that is isolated.
   * @default none
   */
  trace?: string | TraceOptions | undefined;
}

export interface Operation {
  criu: string;
  imagesDir: string;
  workDir: string;
  libdir: string;
  plugin: UsedPlugin;
  /** Which plugins were passed over, and why. */
  notes: string[];
  runDir: string;
}

async function usableCriu(env: Environment, signal: AbortSignal | undefined): Promise<string> {
  const { criu, rejected } = await findCriu(currentSystem(signal, env), { check: false });
  if (criu) return criu.path;
  throw noCriuError(rejected);
}

/**
 * Checks the directory of logs before criu starts. One that the operation makes itself may still be missing.
 * @param hint what to do when no file can be created in it
 * @throws {@link UsageError} naming the directory
 */
export function checkWorkDir({ workDir, imagesDir }: Operation, hint: string): void {
  if (existsSync(workDir)) checkWritable(workDir, hint);
  else if (workDir !== imagesDir) throw new UsageError(`the work directory ${workDir} does not exist`, hint);
}

/** @throws {@link UsageError} an option is not a valid path or time */
export function checkOperationOptions(options: OperationOptions): void {
  const { workDir, criu, libdir, timeoutMs, trace } = options;
  const traceFile = typeof trace === 'string' ? trace : trace?.file;
  checkPath('imagesDir', options.imagesDir);
  for (const [name, path] of Object.entries({ workDir, criu, libdir, trace: traceFile }))
    if (path !== undefined) checkPath(name, path);
  if (timeoutMs !== undefined) checkMilliseconds('timeoutMs', timeoutMs);
}

/**
 * Finds criu, the plugin and the run directory.
 * @param use what the plugin has to do, and which directories come first
 * @throws an error that names what is missing
 */
export async function resolveOperation(
  options: OperationOptions,
  use: Omit<PluginUse, 'env'> = {},
): Promise<Operation> {
  checkOperationOptions(options);
  const env: Environment = { ...process.env, ...options.env };
  const imagesDir = resolve(options.imagesDir);
  const runDir = loadSettings(env).settings.CRIU_CUDA_RUN_DIR;
  checkRunDir(runDir);
  const chosen = choosePlugin(options, { ...use, env });
  return {
    criu: options.criu ?? (await usableCriu(env, options.signal)),
    imagesDir,
    workDir: resolve(options.workDir ?? imagesDir),
    libdir: chosen.dir,
    plugin: chosen.plugin,
    notes: chosen.notes,
    runDir,
  };
}

/** The options of criu that dump and restore share. */
export function criuOptions(operation: Operation, options: OperationOptions, shellJob: boolean): CriuOptions {
  const { verbosity, extraArgs } = options;
  return {
    ...completeFlags(options),
    imagesDir: operation.imagesDir,
    workDir: operation.workDir,
    libdir: operation.libdir,
    shellJob: options.shellJob ?? shellJob,
    verbosity,
    extraArgs,
  };
}
