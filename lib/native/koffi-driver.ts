// SPDX-License-Identifier: MIT
/**
 * The driver's functions as they are: prototypes and struct layouts. Nothing
 * here initialises CUDA, so opening costs a dlopen and touches no device.
 * @module
 */
import koffi, { type LibraryHandle } from 'koffi';

/** Sizes and offsets are part of the driver's ABI: 64 bytes each, reserved parts zero. */
const gpuPair = koffi.struct({
  oldUuid: koffi.array('uint8_t', 16, 'Array'),
  newUuid: koffi.array('uint8_t', 16, 'Array'),
});
const lockArgs = koffi.struct({
  timeoutMs: 'uint32_t',
  reserved0: 'uint32_t',
  reserved1: koffi.array('uint64_t', 7, 'Array'),
});
const restoreArgs = koffi.struct({
  gpuPairs: koffi.pointer(gpuPair),
  gpuPairsCount: 'uint32_t',
  reserved: koffi.array('uint8_t', 44, 'Array'),
  reserved1: 'uint64_t',
});

/** For the test that checks them against the ABI. */
export const structs = { gpuPair, lockArgs, restoreArgs } as const;

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

export interface GpuPair {
  oldUuid: number[];
  newUuid: number[];
}

/** A CUresult, and what the call found out when it is 0. */
export interface Answer {
  result: number;
  value: number;
}

/** Calls on a process may take seconds: they run off the event loop. Numbers are CUresults. */
export interface Bindings {
  errorName(result: number): string | undefined;
  restoreThreadId(pid: number): Promise<Answer>;
  state(pid: number): Promise<Answer>;
  lock(pid: number, timeoutMs: number): Promise<number>;
  checkpoint(pid: number): Promise<number>;
  restore(pid: number, pairs: readonly GpuPair[]): Promise<number>;
  unlock(pid: number): Promise<number>;
}

/** The driver through koffi. */
export interface LibraryBindings extends Bindings {
  driverVersion(out: [number]): number;
}

type Async = (...args: unknown[]) => void;

function later(call: { async: Async }, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: unknown, result: number) => {
      if (error instanceof Error) reject(error);
      else resolve(result);
    });
  });
}

async function answer(call: { async: Async }, pid: number): Promise<Answer> {
  const value: [number] = [0];
  const result = await later(call, pid, value);
  return { result, value: value[0] };
}

/** Functions that `library` must have, in the order in which a missing one is reported. */
export const requiredFunctions = [
  'cuDriverGetVersion',
  'cuGetErrorName',
  'cuCheckpointProcessGetRestoreThreadId',
  'cuCheckpointProcessGetState',
  'cuCheckpointProcessLock',
  'cuCheckpointProcessCheckpoint',
  'cuCheckpointProcessRestore',
  'cuCheckpointProcessUnlock',
] as const;

export function bind(library: LibraryHandle): LibraryBindings {
  const out = koffi.out(koffi.pointer('int'));
  const version = library.func('cuDriverGetVersion', 'int', [out]);
  const name = library.func('cuGetErrorName', 'int', ['int', koffi.out(koffi.pointer('const char *'))]);
  const threadId = library.func('cuCheckpointProcessGetRestoreThreadId', 'int', ['int', out]);
  const state = library.func('cuCheckpointProcessGetState', 'int', ['int', out]);
  const lock = library.func('cuCheckpointProcessLock', 'int', ['int', koffi.pointer(lockArgs)]);
  const checkpoint = library.func('cuCheckpointProcessCheckpoint', 'int', ['int', 'void *']);
  const restore = library.func('cuCheckpointProcessRestore', 'int', ['int', koffi.pointer(restoreArgs)]);
  const unlock = library.func('cuCheckpointProcessUnlock', 'int', ['int', 'void *']);
  return {
    driverVersion: (value) => version(value) as number,
    errorName: (result) => {
      const value: [string | null] = [null];
      return name(result, value) === 0 ? (value[0] ?? undefined) : undefined;
    },
    restoreThreadId: (pid) => answer(threadId, pid),
    state: (pid) => answer(state, pid),
    lock: (pid, timeoutMs) => later(lock, pid, { timeoutMs, reserved0: 0, reserved1: zeros(7) }),
    checkpoint: (pid) => later(checkpoint, pid, null),
    restore: (pid, pairs) =>
      later(
        restore,
        pid,
        pairs.length === 0
          ? null
          : { gpuPairs: pairs, gpuPairsCount: pairs.length, reserved: zeros(44), reserved1: 0 },
      ),
    unlock: (pid) => later(unlock, pid, null),
  };
}
