// SPDX-License-Identifier: MIT
/**
 * The driver's checkpoint calls through koffi; words its failures as plugins-cuda/common does for the addon.
 * @module
 */
import { constants } from 'node:os';
import { CUDA_SUCCESS, cudaFunctions, MIN_DRIVER_VERSION } from './abi.ts';
import { nativeFailure } from './errors.ts';
import type { Functions, Loader } from './koffi-loader.ts';
import { driverCandidates } from './libraries.ts';
import type { Answer, DriverCalls, OpenedDriver } from './types.ts';

const { ENOENT, ENOSYS } = constants.errno;

type Library = Exclude<ReturnType<Loader['open']>, string>;
type CudaFunctions = Functions<keyof typeof cudaFunctions>;

function openFirst(loader: Loader, path: string): Library {
  if (path !== '') {
    const opened = loader.open(path);
    if (typeof opened !== 'string') return opened;
    throw nativeFailure('open', `CRIU_CUDA_DRIVER "${path}" cannot be opened: ${opened}`, path, ENOENT);
  }
  for (const candidate of driverCandidates) {
    const opened = loader.open(candidate);
    if (typeof opened !== 'string') return opened;
  }
  throw nativeFailure(
    'open',
    'no libcuda.so.1 found; install the NVIDIA driver (570 or newer) or set CRIU_CUDA_DRIVER, without a GPU to the libcuda.so.1 of softcuda',
    'libcuda.so.1',
    ENOENT,
  );
}

/** 0 for a library without the function. */
function readVersion(loader: Loader, library: Library): number {
  const out: [number] = [0];
  try {
    const call = library.func('cuDriverGetVersion', 'int', [loader.type('out int *')]);
    return call(out) === CUDA_SUCCESS ? out[0] : 0;
  } catch {
    return 0;
  }
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

async function answer(call: CudaFunctions[keyof CudaFunctions], pid: number): Promise<Answer> {
  const value: [number] = [0];
  const result = await call(pid, value);
  return { result, value: value[0] };
}

function driverCalls(cuda: CudaFunctions): DriverCalls {
  return {
    restoreThreadId: (pid) => answer(cuda.cuCheckpointProcessGetRestoreThreadId, pid),
    state: (pid) => answer(cuda.cuCheckpointProcessGetState, pid),
    lock: (pid, timeoutMs) =>
      cuda.cuCheckpointProcessLock(pid, { timeoutMs, reserved0: 0, reserved1: zeros(7) }),
    checkpoint: (pid) => cuda.cuCheckpointProcessCheckpoint(pid, null),
    restore: (pid, pairs) => {
      const gpuPairs = pairs.map(({ oldUuid, newUuid }) => ({
        oldUuid: { bytes: oldUuid },
        newUuid: { bytes: newUuid },
      }));
      const args = {
        gpuPairs,
        gpuPairsCount: pairs.length,
        padding0: 0,
        customStorageInfo_out: null,
        reserved: zeros(40),
      };
      return cuda.cuCheckpointProcessRestore(pid, pairs.length === 0 ? null : args);
    },
    unlock: (pid) => cuda.cuCheckpointProcessUnlock(pid, null),
  };
}

export function koffiDriver(loader: Loader): (path: string) => Promise<OpenedDriver> {
  const opened = new Map<string, OpenedDriver>();
  const open = (path: string): OpenedDriver => {
    const library = openFirst(loader, path);
    const version = readVersion(loader, library);
    const name = path === '' ? 'libcuda.so.1' : path;
    const remedy = `install driver 570 (API ${MIN_DRIVER_VERSION}) or newer`;
    const cuda = loader.bind(library, cudaFunctions, (missing) =>
      nativeFailure('open', `${name} has no ${missing} (driver API ${version}); ${remedy}`, name, ENOSYS),
    );
    const file = loader.fileOf(library, 'cuDriverGetVersion') ?? name;
    return { path: file, version, calls: driverCalls(cuda) };
  };
  // async: failures are rejections, as the addon's are
  // eslint-disable-next-line @typescript-eslint/require-await
  return async (path) => {
    const driver = opened.get(path) ?? open(path);
    opened.set(path, driver);
    return driver;
  };
}
