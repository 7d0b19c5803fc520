// SPDX-License-Identifier: MIT
/**
 * Which driver the demo runs on: the GPU's when it can checkpoint, else the
 * software driver.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';
import { MIN_DRIVER_VERSION } from '../native/index.ts';
import { softcudaLibrary, type Environment } from '../paths.ts';
import { openDriver } from './driver.ts';
import { driverLibrary } from './library.ts';
import { isSoftwareDriver } from './software.ts';

/** Where the kernel driver lists its GPUs; the plugin looks there too. */
const NVIDIA_GPUS_DIR = '/proc/driver/nvidia/gpus';

export interface DriverChoice {
  /** What CRIU_CUDA_DRIVER has to be; `undefined` leaves it to the usual search. */
  library: string | undefined;
  software: boolean;
  /** Why this one, for people. */
  reason: string;
}

function software(reason: string, env: Environment): DriverChoice {
  const library = softcudaLibrary(env);
  if (existsSync(library)) return { library, software: true, reason };
  throw new EnvironmentError(`${reason}, and the software driver is not built`, [
    { what: library, remedy: 'criu-cuda build' },
  ]);
}

function gpuCount(): number {
  try {
    return readdirSync(NVIDIA_GPUS_DIR).length;
  } catch {
    return 0;
  }
}

/** Looks for a GPU with a driver that has the checkpoint calls. Does not initialize CUDA. */
export async function chooseDriver(
  forceSoftware: boolean,
  env: Environment = process.env,
): Promise<DriverChoice> {
  if (forceSoftware) return software('asked for', env);
  const named = await driverLibrary(undefined, env);
  if (named !== '') {
    const { path } = await openDriver({ env });
    return { library: path, software: isSoftwareDriver(path), reason: 'CRIU_CUDA_DRIVER names it' };
  }
  if (gpuCount() === 0) return software('no NVIDIA GPU on this machine', env);
  try {
    const { path, version } = await openDriver({ env });
    if (version >= MIN_DRIVER_VERSION)
      return { library: undefined, software: false, reason: `GPU with ${path}` };
    return software(
      `the driver's API ${version} is older than ${MIN_DRIVER_VERSION}, that is driver 570`,
      env,
    );
  } catch (error) {
    if (error instanceof EnvironmentError) return software(error.message, env);
    throw error;
  }
}
