// SPDX-License-Identifier: MIT
/**
 * The software driver where there is no GPU: programs find it without being told, and so do dumps and restores of them.
 * @module
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { isTrustedPath } from '../own-cache.ts';
import { softcudaLibrary, type Environment } from '../paths.ts';
import { readMappedFiles } from '../process/index.ts';
import { driverLibrary } from './library.ts';

/** Variables added to an environment. */
type Variables = Record<string, string | undefined>;

/** Where there is a GPU and its kernel driver; the last one is that of WSL. */
const gpuPaths = ['/dev/nvidiactl', '/proc/driver/nvidia/version', '/dev/dxg'];

/** The software driver of any build or installation. */
const softwareDriver = '/softcuda/libcuda.so.1';

/** How the software driver calls its GPUs. */
const deviceName = 'softcuda software device';

/** Drivers of GPUs are many times larger. Bytes. */
const LARGEST_SOFTWARE_DRIVER = 16 * 2 ** 20;

/** Whether a driver library is the software driver, of whichever build or installation: what it holds tells, no path. */
export function isSoftwareDriver(library: string): boolean {
  const size = statSync(library, { throwIfNoEntry: false })?.size ?? 0;
  return size > 0 && size <= LARGEST_SOFTWARE_DRIVER && readFileSync(library).includes(deviceName);
}

/** Whether programs with this environment get the software driver, whose times mean nothing. */
export async function usesSoftwareDriver(env: Environment = process.env): Promise<boolean> {
  const named = await driverLibrary(undefined, env);
  if (named !== '') return isSoftwareDriver(named);
  const { openDriver } = await import('./driver.ts');
  const found = await openDriver({ env }).catch(() => undefined);
  return found !== undefined && isSoftwareDriver(found.path);
}

/**
 * Variables with which a program finds the software driver, also one that only searches for libcuda.so.1.
 * @param isThere tells which paths exist
 * @returns `undefined` where there is a GPU, another driver is named, or the software driver is not built
 */
export async function softwareDriverVariables(
  env: Environment = process.env,
  isThere: (path: string) => boolean = existsSync,
): Promise<Record<string, string> | undefined> {
  const named = await driverLibrary(undefined, env);
  if (named !== '' && !isSoftwareDriver(named)) return undefined;
  const library = named === '' ? softcudaLibrary(env) : named;
  if (named === '' && (gpuPaths.some(isThere) || !existsSync(library))) return undefined;
  const others = (env.LD_LIBRARY_PATH ?? '')
    .split(':')
    .filter((dir) => dir !== '' && dir !== dirname(library));
  return { CRIU_CUDA_DRIVER: library, LD_LIBRARY_PATH: [dirname(library), ...others].join(':') };
}

/**
 * The software driver that the processes have: it is loaded with the caller's rights, so another one than that of this
 * package counts only where no other user can have put it.
 */
function ownDriver(mappedFiles: readonly string[], env: Environment): string | undefined {
  const library = softcudaLibrary(env);
  if (mappedFiles.includes(library) && existsSync(library)) return library;
  const found = mappedFiles.find((path) => path.endsWith(softwareDriver) && existsSync(path));
  if (found === undefined) return undefined;
  const resolved = realpathSync(found);
  return isTrustedPath(resolved) ? resolved : undefined;
}

/**
 * Variables with which criu's plugin uses the same driver as the processes, which is only in question without a GPU.
 * @param added variables of the caller, on top of its environment
 * @param mappedFiles the files that the processes have mapped
 * @returns `added`, and CRIU_CUDA_DRIVER if none is named and the processes have the software driver
 */
export async function withDriverOf(
  added: Variables | undefined,
  mappedFiles: () => readonly string[],
): Promise<Variables | undefined> {
  if (gpuPaths.some(existsSync)) return added;
  if ((await driverLibrary(undefined, { ...process.env, ...added })) !== '') return added;
  const library = ownDriver(mappedFiles(), { ...process.env, ...added });
  return library === undefined ? added : { ...added, CRIU_CUDA_DRIVER: library };
}

/**
 * The environment with which the driver of an image is found that is not here yet: its GPUs tell.
 * @param names names of its GPUs
 */
export async function environmentOfGpus(
  names: readonly string[],
  env: Environment = process.env,
): Promise<Environment> {
  const isSoftware = names.length > 0 && names.every((name) => name.startsWith(deviceName));
  return { ...env, ...(await withDriverOf(env, () => (isSoftware ? [softcudaLibrary(env)] : []))) };
}

/**
 * The environment with which the driver of these processes is found: without a GPU, that may be the software driver.
 * @param pids asked for only where that is in question
 */
export async function environmentOf(
  pids: () => readonly number[],
  env: Environment = process.env,
): Promise<Environment> {
  return { ...env, ...(await withDriverOf(env, () => readMappedFiles(pids()))) };
}
