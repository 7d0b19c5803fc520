// SPDX-License-Identifier: MIT
/**
 * Loads device memory while the command still makes its checks. Only for a restore that no daemon serves.
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { choosePlugin, inventoryNeeds, readInventory } from '../criu/index.ts';
import { ToolkitError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import {
  endNow,
  endStartedHelper,
  helperProgram,
  startEarlyHelper,
  usesDaemon,
  type EarlyHelper,
} from '../pool/index.ts';
import type { RestorableImages } from './images.ts';
import type { RestoreOptions } from './restore.ts';

const gpuImage = /^cuda-\d+\.img$/;

/** The threads of the helper that are still to start get these pids at most. */
const HELPER_PIDS = 64;

/** Whether a daemon will serve the restore of an images directory, of which pages of host memory may be missing. */
export function isServedByDaemon(
  imagesDir: string,
  options: Pick<RestoreOptions, 'variant' | 'libdir'>,
): boolean {
  const inventory = readInventory(imagesDir);
  if (inventory === undefined) return false;
  const { plugin } = choosePlugin(options, { needs: inventoryNeeds(imagesDir, inventory) });
  return usesDaemon(plugin, process.env);
}

/** The program of the helper. @returns `undefined` where a daemon serves the restore, or nothing is to be loaded */
function helperOf(
  imagesDir: string,
  { inventory }: RestorableImages,
  options: RestoreOptions,
  env: Environment,
): string | undefined {
  if (!readdirSync(imagesDir).some((name) => gpuImage.test(name))) return undefined;
  const { plugin } = choosePlugin(options, { env, needs: inventoryNeeds(imagesDir, inventory) });
  return helperProgram(plugin, env);
}

/** The newest pid of this namespace. */
const lastPid = (): number => Number(readFileSync('/proc/loadavg', 'utf8').trim().split(' ').at(-1));

/** Whether criu wants a pid that the helper, or one of its threads, may have. */
function takesPidOf({ tasks, ownPidNamespace }: RestorableImages, helper: number): boolean {
  if (ownPidNamespace) return false;
  const end = Math.max(helper, lastPid()) + HELPER_PIDS;
  return tasks.some(({ pid, threads }) => [pid, ...threads].some((id) => id >= helper && id < end));
}

/**
 * Starts the helper where it is of use.
 * @returns it; nothing where there is none, also where it cannot be told: the checks report what is wrong
 */
export async function beginEarlyLoad(
  images: RestorableImages,
  options: RestoreOptions,
): Promise<EarlyHelper[]> {
  const env: Environment = { ...process.env, ...options.env };
  const imagesDir = resolve(options.imagesDir);
  try {
    const helper = await startEarlyHelper(helperOf(imagesDir, images, options, env), env, imagesDir);
    if (!helper) return [];
    if (!takesPidOf(images, helper.pid)) return [helper];
    await endNow(helper);
    return [];
  } catch (error) {
    await endStartedHelper();
    if (error instanceof ToolkitError) return [];
    throw error;
  }
}
