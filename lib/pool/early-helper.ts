// SPDX-License-Identifier: MIT
/**
 * The pool's helper for one run of criu, `cuda-poold --early`, which starts before criu does: the driver's start takes as
 * long as everything that a command does until then. The plugin takes it over.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Environment } from '../paths.ts';
import { loadSettings } from '../settings/index.ts';
import { usesInterceptor } from '../variant.ts';
import { takeStartedHelper } from './started-helper.ts';

/** A helper that has begun. */
export interface EarlyHelper {
  pid: number;
  /** Ends it, and frees its device memory, unless a plugin has taken it over. */
  end(): void;
}

/** A plugin, as far as its helper is concerned. */
export interface PluginWithHelper {
  /** Of the plugin's file. */
  path: string;
  /** `undefined`: it is not ours. */
  variant?: string | undefined;
}

/** Whether a daemon does what the plugin's helper would do. */
export function usesDaemon(plugin: PluginWithHelper, env: Environment): boolean {
  const { settings } = loadSettings(env);
  const mayUse = plugin.variant === 'full' && Boolean(settings.CRIU_CUDA_CONTEXT_POOL);
  return mayUse && existsSync(join(settings.CRIU_CUDA_RUN_DIR, 'pool.sock'));
}

/** The program of the plugin's helper. @returns `undefined` where a daemon does its work, or there is none */
export function helperProgram(plugin: PluginWithHelper, env: Environment): string | undefined {
  if (plugin.variant === undefined || !usesInterceptor(plugin.variant)) return undefined;
  if (usesDaemon(plugin, env)) return undefined;
  const program = join(dirname(plugin.path), 'cuda-poold');
  return existsSync(program) ? program : undefined;
}

/** Variables for criu, whose plugin takes over the helper. */
export const helperVariables = (helper: EarlyHelper | undefined): Record<string, string> =>
  helper === undefined ? {} : { CRIU_CUDA_EARLY_HELPER: String(helper.pid) };

/**
 * Starts the helper, or takes the one that was started before Node.
 * @param program `undefined`: no helper is of use, and one that was started before is ended
 * @param imagesDir what it loads, an absolute path; nothing for a dump
 * @returns `undefined` if there is none: the plugin starts another one where it needs one
 */
export async function startEarlyHelper(
  program: string | undefined,
  env: Environment,
  imagesDir?: string,
): Promise<EarlyHelper | undefined> {
  const started = await takeStartedHelper(program, env, imagesDir);
  if (started !== undefined || program === undefined) return started;
  const child = spawn(program, ['--early', ...(imagesDir === undefined ? [] : [imagesDir])], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env,
  });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  if (child.pid === undefined) return undefined;
  return {
    pid: child.pid,
    // it ends with its standard input, and so when this process is killed
    end: () => {
      child.stdin.destroy();
    },
  };
}
