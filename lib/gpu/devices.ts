// SPDX-License-Identifier: MIT
/**
 * GPUs and the processes on them, as NVML tells. CUDA is not initialised.
 * @module
 */
import { dirname, join } from 'node:path';
import { abortable } from '../abortable.ts';
import { driverCandidates } from './driver.ts';
import { EnvironmentError, CodedError } from '../errors.ts';
import { isAddonFailure, loadAddon, type AddonDevice, type AddonProcess } from '../native/index.ts';
import { nvmlErrorName } from './nvml-errors.ts';

/** One GPU. `null` stands for what the device does not say. */
export type Gpu = AddonDevice & {
  /** NVML's number; CUDA may count otherwise. */
  index: number;
};

/** A process with a CUDA context on a GPU; one that is checkpointed has none. */
export interface GpuProcess {
  /** In the PID namespace of the driver: inside a container it may be unknown. */
  pid: number;
  deviceUuid: string;
  /** Device memory it holds, bytes; `null` when the driver does not tell. */
  usedBytes: number | null;
}

export interface GpuReport {
  /** `580.159.04` */
  driverVersion: string;
  /** As the driver says it: 1000 × major + 10 × minor. */
  cudaVersion: number;
  /** The NVML library that answered. */
  library: string;
  gpus: Gpu[];
}

export interface GpuOptions {
  /** The libcuda in use (CRIU_CUDA_DRIVER): the NVML beside it comes first. @default the usual search */
  driver?: string | undefined;
  /** Gives up waiting, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A call into NVML failed; `code` is `ERR_NVML_<name>`. */
export class NvmlError extends CodedError<`ERR_NVML_${string}`> {
  /** `nvmlDeviceGetCount_v2` … */
  readonly call: string;
  /** The nvmlReturn_t. */
  readonly result: number;

  constructor(call: string, result: number) {
    const name = nvmlErrorName(result);
    super(`ERR_NVML_${name}`, `${call}: NVML_ERROR_${name} (${result})`, {
      hint: 'see nvidia-smi and dmesg for what the driver says',
    });
    this.call = call;
    this.result = result;
  }
}

const nvmlName = 'libnvidia-ml.so.1';

function libraries({ driver }: GpuOptions): string[] {
  const beside = (path: string): string => (path.includes('/') ? join(dirname(path), nvmlName) : nvmlName);
  const paths = driver === undefined || driver === '' ? driverCandidates : [driver, ...driverCandidates];
  return [...new Set(paths.map(beside))];
}

async function query<T>(signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
  try {
    return await abortable(run, signal);
  } catch (error) {
    if (!isAddonFailure(error)) throw error;
    if (error.kind === 'nvml') throw new NvmlError(error.call ?? 'nvml', error.result ?? 999);
    throw new EnvironmentError(`NVML cannot be used: ${error.message}`, [
      {
        what: nvmlName,
        remedy: 'it comes with the NVIDIA driver; in a container, mount it (nvidia runtime or CDI)',
      },
    ]);
  }
}

/**
 * Asks for all GPUs, off the event loop. NVML is opened at the first call and stays open.
 * @throws `EnvironmentError` without NVML or the addon; {@link NvmlError} when NVML refuses
 */
export async function listGpus(options: GpuOptions = {}): Promise<GpuReport> {
  const { devices, ...rest } = await query(options.signal, () => loadAddon().devices(libraries(options)));
  return { ...rest, gpus: devices.map((device, index) => ({ index, ...device })) };
}

/** Asks which processes hold contexts on which GPU; one row per process and GPU. Throws as {@link listGpus}. */
export function listGpuProcesses(options: GpuOptions = {}): Promise<GpuProcess[]> {
  return query<AddonProcess[]>(options.signal, () => loadAddon().deviceProcesses(libraries(options)));
}
