// SPDX-License-Identifier: MIT
/**
 * The driver's checkpoint API for one process at a time: state and the steps
 * lock, checkpoint, restore, unlock. The plugin does the same inside CRIU; this
 * is for people and programs that drive the steps themselves.
 * @module
 */
import { readFileSync } from 'node:fs';
import koffi, { type LibraryHandle } from 'koffi';
import { EnvironmentError, UsageError } from '../errors.ts';
import { checkPid, readThreadState } from '../process/index.ts';
import { abortable } from '../abortable.ts';
import { bind, requiredFunctions, type Bindings } from '../native/index.ts';
import { ProcessStateError, DriverError } from './driver-error.ts';
import { parseUuid, type DevicePair } from './uuid.ts';

/** The driver's word for a process, as CUDA names the states. */
export type ProcessState = 'running' | 'locked' | 'checkpointed' | 'failed';

const processStates: readonly ProcessState[] = ['running', 'locked', 'checkpointed', 'failed'];

/** First driver API version with the checkpoint calls: driver 570. */
export const MIN_DRIVER_VERSION = 12080;

/** `libcuda.so.1` by the loader's own search, then where containers and operators put it. */
export const driverCandidates: readonly string[] = [
  'libcuda.so.1',
  '/run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.1',
  '/run/nvidia/driver/usr/lib/aarch64-linux-gnu/libcuda.so.1',
  '/run/nvidia/driver/usr/lib64/libcuda.so.1',
  '/usr/local/nvidia/lib64/libcuda.so.1',
  '/home/kubernetes/bin/nvidia/lib64/libcuda.so.1',
];

export interface LockOptions {
  /** Milliseconds to wait for the GPU work to end; 0 waits for ever. @default 10_000 */
  timeoutMs?: number | undefined;
  /** Stops waiting, with the signal's reason; a lock that comes all the same is taken back. */
  signal?: AbortSignal | undefined;
}

export interface RestoreStepOptions {
  /** Empty: the same GPUs. Else it names every GPU of the process. @default [] */
  deviceMap?: readonly DevicePair[] | undefined;
}

/**
 * What can be asked of the driver. Each call runs off the event loop and throws {@link DriverError} with the
 * driver's result, `ToolkitError` ERR_DRIVER_THREAD_STOPPED when the process' restore thread cannot run, or
 * `UsageError` for something that is no pid. A step that has begun is carried out.
 */
export interface CheckpointDriver {
  /** The file that was opened. */
  readonly path: string;
  /** As the driver says it: 1000 × major + 10 × minor of the CUDA version. */
  readonly version: number;
  /** What the process is in the middle of. */
  state(pid: number): Promise<ProcessState>;
  /** The thread that must be able to run while the driver works on the process. */
  restoreThreadId(pid: number): Promise<number>;
  /** From running to locked: waits for the GPU work under way; new calls into CUDA block in the process. */
  lock(pid: number, options?: LockOptions): Promise<void>;
  /** From locked to checkpointed: device memory goes to host memory of the process, the GPU is given up. */
  checkpoint(pid: number): Promise<void>;
  /** From checkpointed to locked: device memory comes back, at the same addresses. */
  restore(pid: number, options?: RestoreStepOptions): Promise<void>;
  /** From locked to running. */
  unlock(pid: number): Promise<void>;
}

/** For whoever lacks a driver with the checkpoint calls. */
export const INSTALL_REMEDY = 'install the NVIDIA driver, 570 or newer, or set CRIU_CUDA_DRIVER';

function load(path: string): LibraryHandle | Error {
  try {
    return koffi.load(path);
  } catch (error) {
    return error as Error;
  }
}

function loadFirst(path: string | undefined): { name: string; library: LibraryHandle } {
  for (const name of path === undefined ? driverCandidates : [path]) {
    const library = load(name);
    if (!(library instanceof Error)) return { name, library };
    if (path === undefined) continue;
    throw new EnvironmentError(`CRIU_CUDA_DRIVER "${path}" cannot be opened: ${library.message}`, [
      { what: path, remedy: 'set CRIU_CUDA_DRIVER to a libcuda.so.1, or unset it' },
    ]);
  }
  throw new EnvironmentError('no libcuda.so.1 found', [{ what: 'libcuda.so.1', remedy: INSTALL_REMEDY }]);
}

function hasFunction(library: LibraryHandle, name: string): boolean {
  try {
    library.func(name, 'int', []);
    return true;
  } catch {
    return false;
  }
}

function checkFunctions(name: string, library: LibraryHandle): void {
  const missing = requiredFunctions.find((one) => !hasFunction(library, one));
  if (missing === undefined) return;
  throw new EnvironmentError(`${name} has no ${missing}`, [{ what: name, remedy: INSTALL_REMEDY }]);
}

/** The loader may have found a name without a path anywhere. */
function loadedPath(name: string): string {
  if (name.includes('/')) return name;
  const maps = readFileSync('/proc/self/maps', 'utf8');
  return /\/\S*\/libcuda\.so\S*/.exec(maps)?.[0] ?? name;
}

const LONGEST_TIMEOUT_MS = 2 ** 32 - 1;

function checkTimeout(timeoutMs: number): void {
  if (Number.isInteger(timeoutMs) && timeoutMs >= 0 && timeoutMs <= LONGEST_TIMEOUT_MS) return;
  throw new UsageError(`timeoutMs ${timeoutMs} is not a whole number from 0 to ${LONGEST_TIMEOUT_MS}`);
}

/** The same driver, whichever way its functions are reached. */
export function createDriver(path: string, version: number, bindings: Bindings): CheckpointDriver {
  const check = (call: string, pid: number, result: number): void => {
    if (result === 0) return;
    throw new DriverError(call, result, bindings.errorName(result) ?? 'CUDA_ERROR_UNLISTED', pid);
  };
  const restoreThreadId = async (pid: number): Promise<number> => {
    checkPid(pid);
    const { result, value } = await bindings.restoreThreadId(pid);
    check('cuCheckpointProcessGetRestoreThreadId', pid, result);
    return value;
  };
  /** The driver would wait for ever for a restore thread that is stopped. */
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
      const { result, value } = await bindings.state(pid);
      check('cuCheckpointProcessGetState', pid, result);
      const state = processStates[value];
      if (state) return state;
      throw new ProcessStateError('ERR_DRIVER_STATE', `${pid} is in state ${value}, unknown to this program`);
    },
    lock: async (pid, { timeoutMs = 10_000, signal } = {}) => {
      checkTimeout(timeoutMs);
      const lock = (): Promise<void> =>
        step('cuCheckpointProcessLock', pid, () => bindings.lock(pid, timeoutMs));
      await abortable(lock, signal, (running) => {
        running.then(() => bindings.unlock(pid)).catch(() => undefined);
      });
    },
    checkpoint: (pid) => step('cuCheckpointProcessCheckpoint', pid, () => bindings.checkpoint(pid)),
    restore: async (pid, { deviceMap = [] } = {}) => {
      const pairs = deviceMap.map(({ from, to }) => ({ oldUuid: parseUuid(from), newUuid: parseUuid(to) }));
      await step('cuCheckpointProcessRestore', pid, () => bindings.restore(pid, pairs));
    },
    unlock: (pid) => step('cuCheckpointProcessUnlock', pid, () => bindings.unlock(pid)),
  };
}

/** libcuda does not survive being closed: one that was opened stays so. */
const opened = new Map<string, CheckpointDriver>();

/**
 * Opens the driver without initialising CUDA. Throws {@link EnvironmentError}
 * when there is none, or none with the checkpoint calls.
 * @param path a library to use instead of the usual search, the setting CRIU_CUDA_DRIVER
 */
export function openDriver(path?: string): CheckpointDriver {
  const known = opened.get(path ?? '');
  if (known) return known;
  const { name, library } = loadFirst(path);
  checkFunctions(name, library);
  const bindings = bind(library);
  const version: [number] = [0];
  const driver = createDriver(
    loadedPath(name),
    bindings.driverVersion(version) === 0 ? version[0] : 0,
    bindings,
  );
  opened.set(path ?? '', driver);
  return driver;
}
