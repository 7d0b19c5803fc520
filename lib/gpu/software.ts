// SPDX-License-Identifier: MIT
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { softcudaLibrary, type Environment } from '../paths.ts';
import { driverLibrary } from './library.ts';

/** Where there is a GPU and its kernel driver; the last one is that of WSL. */
const gpuPaths = ['/dev/nvidiactl', '/proc/driver/nvidia/version', '/dev/dxg'];

/**
 * Variables with which a program, whose own search ends at libcuda.so.1, finds the software driver.
 * @returns `undefined` where there is a GPU, another driver is named, or the software driver is not built
 */
export async function softwareDriverVariables(
  env: Environment = process.env,
  isGpu: (path: string) => boolean = existsSync,
): Promise<Record<string, string> | undefined> {
  const library = softcudaLibrary(env);
  const named = await driverLibrary(undefined, env);
  if (named !== '' && named !== library) return undefined;
  if (named === '' && (gpuPaths.some(isGpu) || !existsSync(library))) return undefined;
  const others = (env.LD_LIBRARY_PATH ?? '')
    .split(':')
    .filter((dir) => dir !== '' && dir !== dirname(library));
  return {
    CRIU_CUDA_DRIVER: library,
    LD_LIBRARY_PATH: [dirname(library), ...others].join(':'),
  };
}
