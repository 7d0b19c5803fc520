// SPDX-License-Identifier: MIT
/**
 * Whether a checkpoint can be restored on this machine, asked without restoring it.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { checkOperationOptions } from '../criu/index.ts';
import { EnvironmentError, ToolkitError } from '../errors.ts';
import { listGpus, openDriver } from '../gpu/index.ts';
import { readCheckpointIndex, readGpuImages } from '../images/index.ts';
import type { Environment } from '../paths.ts';
import { loadSettings } from '../settings/index.ts';
import { lookAtRestore, type Look } from './prepare.ts';
import type { RestoreOptions } from './restore.ts';

/** One thing that is in the way of a restore. */
export interface RestoreProblem {
  /** The code that the restore would fail with. */
  code: string;
  /** What is wrong: one sentence, or one for each file. */
  texts: string[];
  /** What to do about it. */
  remedy: string | undefined;
}

/** What a look at a checkpoint found. */
export interface RestoreCheck {
  /** Absolute path of the images directory. */
  imagesDir: string;
  /** Nothing is in the way that can be seen without a restore. */
  canRestore: boolean;
  /** Everything that is in the way. */
  problems: RestoreProblem[];
  /** The files that a restore would create or write. */
  bringsBack: string[];
  /** What a restore may do differently. */
  warnings: string[];
}

function problemOf(error: ToolkitError): RestoreProblem {
  const files = 'files' in error && Array.isArray(error.files) ? (error.files as string[]) : [];
  const texts = files.length > 0 ? files : [error.message];
  return { code: error.code, texts, remedy: error.hint };
}

/** @throws `EnvironmentError` the device memory in the images was on GPUs that are not here, and no others are named */
async function checkGpus(imagesDir: string, env: Environment): Promise<void> {
  const { CRIU_CUDA_DRIVER: driver, CRIU_CUDA_DEVICE_MAP: others } = loadSettings(env).settings;
  const images = others === '' ? await readGpuImages(imagesDir) : [];
  const wanted = new Map(
    images.flatMap(({ manifest }) => manifest.devices.map(({ uuid, name }) => [uuid, name] as const)),
  );
  if (wanted.size === 0) return;
  const { gpus } = await listGpus({ driver });
  const missing = [...wanted].filter(([uuid]) => gpus.every((gpu) => gpu.uuid !== uuid));
  if (missing.length === 0) return;
  throw new EnvironmentError(
    `GPUs of the dump are not here: ${missing.map(([uuid, name]) => `${uuid} (${name})`).join(', ')}`,
    [{ what: 'other GPUs', remedy: 'name them with CRIU_CUDA_DEVICE_MAP' }],
  );
}

/** @throws `EnvironmentError` a process had a device file of the driver open that is not here */
async function checkDeviceFiles(imagesDir: string): Promise<void> {
  // in a mount namespace that is restored, paths are those of the container
  if (readdirSync(imagesDir).some((name) => name.startsWith('mountpoints-'))) return;
  const index = await readCheckpointIndex(imagesDir);
  // that of one GPU may have another number here
  const paths = (index?.deviceFiles ?? []).flatMap(({ path, gpu }) => (gpu === null ? [path] : []));
  const missing = [...new Set(paths)].filter((path) => !existsSync(path));
  if (missing.length === 0) return;
  throw new EnvironmentError(`device files of the GPU driver are not here: ${missing.join(', ')}`, [
    { what: 'the driver', remedy: 'load it, or give the container the device' },
  ]);
}

/** The driver and its GPUs, which a restore leaves to the plugin. @returns what is wrong with them */
async function checkDriver(imagesDir: string, { images, options }: Look): Promise<ToolkitError[]> {
  if (images?.inventory.plugins.includes('cuda_plugin') !== true) return [];
  const env = { ...process.env, ...options?.env };
  try {
    await openDriver({ env });
    await checkGpus(imagesDir, env);
    await checkDeviceFiles(imagesDir);
    return [];
  } catch (error) {
    if (error instanceof ToolkitError) return [error];
    throw error;
  }
}

/**
 * Looks at a checkpoint as a restore would, and changes nothing: images, criu, plugin and driver, pids, ports, and all
 * files that the program had open or mapped, programs and libraries too.
 */
export async function checkRestore(options: RestoreOptions): Promise<RestoreCheck> {
  options.signal?.throwIfAborted();
  checkOperationOptions(options);
  const imagesDir = resolve(options.imagesDir);
  const look = await lookAtRestore(options, true);
  const problems = [...look.problems, ...(await checkDriver(imagesDir, look))];
  const { steps = [], operation } = look;
  const written = steps.filter(({ existing, rewrite }) => existing === undefined || rewrite);
  return {
    imagesDir,
    canRestore: problems.length === 0,
    problems: problems.map(problemOf),
    bringsBack: written.flatMap(({ file }) => file.paths),
    warnings: operation?.notes ?? [],
  };
}
