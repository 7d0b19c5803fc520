// SPDX-License-Identifier: MIT
/**
 * GPUs and the processes on them, as NVML reports them. CUDA is not initialized.
 * @module
 */
import { abortable } from '../abortable.ts';
import { CodedError, EnvironmentError } from '../errors.ts';
import {
  isNativeFailure,
  nativeBackend,
  nvmlCandidates,
  nvmlName,
  type Backend,
  type BackendName,
  type GpuProcess,
  type GpuReport,
} from '../native/index.ts';
import { driverLibrary, softcudaRemedy } from './library.ts';
import { nvmlErrorName } from './nvml-errors.ts';

/** Which NVML is asked, and how. */
export interface GpuOptions {
  /** The libcuda in use: the NVML next to it comes first. @default the setting CRIU_CUDA_DRIVER */
  driver?: string | undefined;
  /** Forces one way to native code. @default CRIU_CUDA_NATIVE, else the addon where there is one, else koffi */
  backend?: BackendName | undefined;
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

async function query<T>(
  { driver, backend, signal }: GpuOptions,
  run: (backend: Backend, libraries: readonly string[]) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const libraries = nvmlCandidates(await driverLibrary(driver));
  const native = nativeBackend(backend);
  try {
    return await abortable(() => run(native, libraries), signal);
  } catch (error) {
    if (!isNativeFailure(error)) throw error;
    if (error.kind === 'nvml') throw new NvmlError(error.call ?? 'nvml', error.result ?? 999);
    throw new EnvironmentError(`NVML cannot be used: ${error.message}`, [
      {
        what: nvmlName,
        remedy: `it comes with the NVIDIA driver; in a container, mount it (nvidia runtime or CDI)${softcudaRemedy()}`,
      },
    ]);
  }
}

/**
 * Asks for all GPUs, off the event loop. NVML is opened at the first call and stays open.
 * @throws `EnvironmentError` without NVML, or with neither addon nor koffi; {@link NvmlError} when NVML refuses
 */
export function listGpus(options: GpuOptions = {}): Promise<GpuReport> {
  return query(options, (native, libraries) => native.listGpus(libraries));
}

/** Asks which processes hold contexts on which GPU; one row per process and GPU. Throws as {@link listGpus}. */
export function listGpuProcesses(options: GpuOptions = {}): Promise<GpuProcess[]> {
  return query(options, (native, libraries) => native.listGpuProcesses(libraries));
}
