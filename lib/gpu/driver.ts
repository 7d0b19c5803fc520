// SPDX-License-Identifier: MIT
/**
 * The driver's checkpoint API for one process at a time: state and the steps
 * lock, checkpoint, restore, unlock. The plugin does the same inside CRIU; this
 * is for people and programs that drive the steps themselves.
 * @module
 */
import { abortable } from '../abortable.ts';
import { UsageError } from '../errors.ts';
import {
  nativeBackend,
  processStates,
  type BackendName,
  type OpenedDriver,
  type ProcessState,
} from '../native/index.ts';
import type { Environment } from '../paths.ts';
import { checkPid, readThreadState } from '../process/index.ts';
import { DriverError, ProcessStateError } from './driver-error.ts';
import { driverLibrary, openError } from './library.ts';
import { parseUuid, type DevicePair } from './uuid.ts';

/** Which driver is opened, and how. */
export interface OpenDriverOptions {
  /** A libcuda.so.1. Empty: the usual search, whatever is set. @default the setting CRIU_CUDA_DRIVER */
  path?: string | undefined;
  /** Forces one way to native code. @default CRIU_CUDA_NATIVE, else the addon where there is one, else koffi */
  backend?: BackendName | undefined;
  /** Where CRIU_CUDA_DRIVER, CRIU_CUDA_CONFIG and CRIU_CUDA_NATIVE are looked up. @default process.env */
  env?: Environment | undefined;
}

/** How long is waited for GPU work in progress. */
export interface LockOptions {
  /** Milliseconds to wait for the GPU work to end; 0 waits forever. @default 10_000 */
  timeoutMs?: number | undefined;
  /** Stops waiting, with the signal's reason; a lock that succeeds anyway is undone. */
  signal?: AbortSignal | undefined;
}

/** Where device memory goes. */
export interface RestoreStepOptions {
  /** Empty: the same GPUs. Else it names every GPU of the process. @default [] */
  deviceMap?: readonly DevicePair[] | undefined;
}

/**
 * What can be asked of the driver. Each call runs off the event loop and throws {@link DriverError} with the
 * driver's result, `ProcessStateError` ERR_DRIVER_THREAD_STOPPED when the process's restore thread cannot run, or
 * `UsageError` for a number that is not a pid. A step that has begun is carried out.
 */
export interface CheckpointDriver {
  /** The file that was opened. */
  readonly path: string;
  /** As the driver reports it: 1000 × major + 10 × minor of the CUDA version. */
  readonly version: number;
  /** What the process is in the middle of. */
  state(pid: number): Promise<ProcessState>;
  /** The thread that must be able to run while the driver works on the process. */
  restoreThreadId(pid: number): Promise<number>;
  /** From running to locked: waits for GPU work in progress; new calls into CUDA block in the process. */
  lock(pid: number, options?: LockOptions): Promise<void>;
  /** From locked to checkpointed: device memory goes to host memory of the process, the GPU is given up. */
  checkpoint(pid: number): Promise<void>;
  /** From checkpointed to locked: device memory comes back, at the same addresses. */
  restore(pid: number, options?: RestoreStepOptions): Promise<void>;
  /** From locked to running. */
  unlock(pid: number): Promise<void>;
}

const LONGEST_TIMEOUT_MS = 2 ** 32 - 1;

function checkTimeout(timeoutMs: number): void {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 0 && timeoutMs <= LONGEST_TIMEOUT_MS) return;
  throw new UsageError(`timeoutMs ${timeoutMs} is not a whole number from 0 to ${LONGEST_TIMEOUT_MS}`);
}

function createDriver({ path, version, calls }: OpenedDriver): CheckpointDriver {
  const check = (call: string, pid: number, result: number): void => {
    if (result !== 0) throw new DriverError(call, result, pid);
  };
  const restoreThreadId = async (pid: number): Promise<number> => {
    checkPid(pid);
    const { result, value } = await calls.restoreThreadId(pid);
    check('cuCheckpointProcessGetRestoreThreadId', pid, result);
    return value;
  };
  /** The driver would wait forever for a restore thread that is stopped. */
  const checkThreadRuns = async (pid: number): Promise<void> => {
    const tid = await restoreThreadId(pid);
    const state = readThreadState(pid, tid);
    if (state !== 'T' && state !== 't') return;
    const how = state === 'T' ? 'stopped' : 'held by a tracer';
    throw new ProcessStateError('ERR_DRIVER_THREAD_STOPPED', `restore thread ${tid} of ${pid} is ${how}`, {
      hint: 'the driver works inside that thread: let it run (kill -CONT, or detach the tracer)',
    });
  };
  const step = async (call: string, pid: number, run: () => Promise<number>): Promise<void> => {
    await checkThreadRuns(pid);
    check(call, pid, await run());
  };
  return {
    path,
    version,
    restoreThreadId,
    state: async (pid) => {
      await checkThreadRuns(pid);
      const { result, value } = await calls.state(pid);
      check('cuCheckpointProcessGetState', pid, result);
      const state = processStates[value];
      if (state) return state;
      throw new ProcessStateError('ERR_DRIVER_STATE', `${pid} is in state ${value}, unknown to this program`);
    },
    lock: async (pid, { timeoutMs = 10_000, signal } = {}) => {
      checkTimeout(timeoutMs);
      const lock = (): Promise<void> =>
        step('cuCheckpointProcessLock', pid, () => calls.lock(pid, timeoutMs));
      await abortable(lock, signal, (running) => {
        running.then(() => calls.unlock(pid)).catch(() => undefined);
      });
    },
    checkpoint: (pid) => step('cuCheckpointProcessCheckpoint', pid, () => calls.checkpoint(pid)),
    restore: async (pid, { deviceMap = [] } = {}) => {
      const pairs = deviceMap.map(({ from, to }) => ({ oldUuid: parseUuid(from), newUuid: parseUuid(to) }));
      await step('cuCheckpointProcessRestore', pid, () => calls.restore(pid, pairs));
    },
    unlock: (pid) => step('cuCheckpointProcessUnlock', pid, () => calls.unlock(pid)),
  };
}

/**
 * Opens the driver without initializing CUDA, off the event loop. It stays open: libcuda does not survive being closed.
 * Safe in worker threads; with the addon a lock that is in progress when the worker ends is undone.
 * @throws `EnvironmentError` when there is no driver, none with the checkpoint calls, or neither addon nor koffi;
 * `SettingError` when the settings file is wrong
 */
export async function openDriver(options: OpenDriverOptions = {}): Promise<CheckpointDriver> {
  const library = await driverLibrary(options.path, options.env);
  const backend = nativeBackend(options.backend, options.env);
  try {
    return createDriver(await backend.openDriver(library));
  } catch (error) {
    throw openError(error, library, options.path);
  }
}
