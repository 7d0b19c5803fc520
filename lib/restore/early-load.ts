// SPDX-License-Identifier: MIT
/**
 * Loads device memory while the command still makes its checks: a helper, `cuda-poold --early`, which the plugin takes
 * over when criu has started. Only for a restore that no daemon serves.
 * @module
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { choosePlugin, inventoryNeeds } from '../criu/index.ts';
import { ToolkitError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import { loadSettings } from '../settings/index.ts';
import { usesInterceptor } from '../variant.ts';
import type { RestorableImages } from './images.ts';
import type { RestoreOptions } from './restore.ts';

/** A helper that has begun. */
export interface EarlyLoad {
  /** For criu. */
  env: Record<string, string>;
  /** Ends it, and frees its device memory, unless a plugin has taken it over. */
  end(): void;
}

const gpuImage = /^cuda-\d+\.img$/;

/** The helper and its threads get these pids at most. */
const HELPER_PIDS = 64;

/** The program of the helper. @returns `undefined` where a daemon serves the restore, or nothing is to be loaded */
function helperOf(
  imagesDir: string,
  { inventory }: RestorableImages,
  options: RestoreOptions,
  env: Environment,
): string | undefined {
  if (!readdirSync(imagesDir).some((name) => gpuImage.test(name))) return undefined;
  const { plugin } = choosePlugin(options, { env, needs: inventoryNeeds(imagesDir, inventory) });
  if (plugin.variant === undefined || !usesInterceptor(plugin.variant)) return undefined;
  const { settings } = loadSettings(env);
  const usesDaemon = plugin.variant === 'full' && settings.CRIU_CUDA_CONTEXT_POOL;
  if (usesDaemon && existsSync(join(settings.CRIU_CUDA_RUN_DIR, 'pool.sock'))) return undefined;
  const program = join(dirname(plugin.path), 'cuda-poold');
  return existsSync(program) ? program : undefined;
}

function start(
  program: string,
  imagesDir: string,
  env: Environment,
): (EarlyLoad & { pid: number }) | undefined {
  const child = spawn(program, ['--early', imagesDir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env,
  });
  // the plugin starts another one then
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  if (child.stdin instanceof Socket) child.stdin.unref();
  if (child.pid === undefined) return undefined;
  return {
    pid: child.pid,
    env: { CRIU_CUDA_EARLY_HELPER: String(child.pid) },
    // it ends with its standard input, and so when this process is killed
    end: () => {
      child.stdin.destroy();
    },
  };
}

/** Whether criu wants a pid that the helper may have. */
function takesPidOf({ tasks, ownPidNamespace }: RestorableImages, helper: number): boolean {
  if (ownPidNamespace) return false;
  return tasks.some(({ pid, threads }) =>
    [pid, ...threads].some((id) => id >= helper && id < helper + HELPER_PIDS),
  );
}

/**
 * Starts the helper where it is of use.
 * @returns it; nothing where there is none, also where it cannot be told: the checks report what is wrong
 */
export function beginEarlyLoad(images: RestorableImages, options: RestoreOptions): EarlyLoad[] {
  const env: Environment = { ...process.env, ...options.env };
  const imagesDir = resolve(options.imagesDir);
  try {
    const program = helperOf(imagesDir, images, options, env);
    const helper = program === undefined ? undefined : start(program, imagesDir, env);
    if (!helper) return [];
    if (!takesPidOf(images, helper.pid)) return [helper];
    helper.end();
    return [];
  } catch (error) {
    if (error instanceof ToolkitError) return [];
    throw error;
  }
}
