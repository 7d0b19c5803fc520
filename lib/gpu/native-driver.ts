// SPDX-License-Identifier: MIT
/**
 * The driver's checkpoint API through the addon: for programs that ask often and must never wait.
 * @module
 */
import { EnvironmentError } from '../errors.ts';
import {
  isAddonFailure,
  loadAddon,
  type Addon,
  type Answer,
  type Bindings,
  type DriverHandle,
  type GpuPair,
} from '../native/index.ts';
import { createDriver, INSTALL_REMEDY, type CheckpointDriver } from './driver.ts';

function bytesOf(pairs: readonly GpuPair[]): Uint8Array {
  return Uint8Array.from(pairs.flatMap(({ oldUuid, newUuid }) => [...oldUuid, ...newUuid]));
}

function bind(addon: Addon, handle: DriverHandle): Bindings {
  const resultOf = async (answer: Promise<Answer>): Promise<number> => (await answer).result;
  return {
    errorName: (result) => addon.errorName(result),
    restoreThreadId: (pid) => addon.restoreThreadId(handle, pid),
    state: (pid) => addon.state(handle, pid),
    lock: (pid, timeoutMs) => resultOf(addon.lock(handle, pid, timeoutMs)),
    checkpoint: (pid) => resultOf(addon.checkpoint(handle, pid)),
    restore: (pid, pairs) => resultOf(addon.restore(handle, pid, bytesOf(pairs))),
    unlock: (pid) => resultOf(addon.unlock(handle, pid)),
  };
}

/**
 * Opens the driver without initialising CUDA, off the event loop. Safe in worker threads: a lock that is under
 * way when the worker ends is taken back.
 * @param path a library to use instead of the usual search, the setting CRIU_CUDA_DRIVER
 * @throws `EnvironmentError` when there is no addon, no driver, or none with the checkpoint calls
 */
export async function openNativeDriver(path?: string): Promise<CheckpointDriver> {
  const addon = loadAddon();
  try {
    const opened = await addon.openDriver(path ?? '');
    return createDriver(opened.path, opened.version, bind(addon, opened.handle));
  } catch (error) {
    if (!isAddonFailure(error)) throw error;
    throw new EnvironmentError(error.message, [{ what: path ?? 'libcuda.so.1', remedy: INSTALL_REMEDY }]);
  }
}
