// SPDX-License-Identifier: MIT
/**
 * criu_cuda.node as a backend: a prebuilt one when one fits, else the one built here. Loading opens no driver.
 * @module
 */
import { createRequire } from 'node:module';
import { projectRoot } from '../paths.ts';
import type {
  Answer,
  Backend,
  DriverCalls,
  Gpu,
  GpuPair,
  GpuProcess,
  GpuReport,
  LibcCalls,
  MemoryMap,
  MemoryPages,
  MemorySums,
  Probe,
} from './types.ts';

/** native/binding.cc has the same number; another one means a binary of another version of this package. */
const INTERFACE_VERSION = 6;

/** An opened driver inside the addon. */
declare const handle: unique symbol;
export interface DriverHandle {
  readonly [handle]: true;
}

/** Ends a reader of memory early. */
declare const cancel: unique symbol;
interface CancelHandle {
  readonly [cancel]: true;
}

/** What the addon exports; all that has a promise runs on a thread of the addon and rejects with a NativeFailure. */
export interface Addon extends LibcCalls {
  readonly interfaceVersion: number;
  openDriver(path: string): Promise<{ path: string; version: number; handle: DriverHandle }>;
  state(driver: DriverHandle, pid: number): Promise<Answer>;
  restoreThreadId(driver: DriverHandle, pid: number): Promise<Answer>;
  lock(driver: DriverHandle, pid: number, timeoutMs: number): Promise<Answer>;
  checkpoint(driver: DriverHandle, pid: number): Promise<Answer>;
  restore(driver: DriverHandle, pid: number, pairs: Uint8Array): Promise<Answer>;
  unlock(driver: DriverHandle, pid: number): Promise<Answer>;
  devices(libraries: readonly string[]): Promise<Omit<GpuReport, 'gpus'> & { devices: Omit<Gpu, 'index'>[] }>;
  deviceProcesses(libraries: readonly string[]): Promise<GpuProcess[]>;
  probe(
    driver: DriverHandle,
    pid: number,
    startTime: number,
    restoreTid: number,
    serviceTid: number,
  ): Promise<Probe | null>;
  newCancel(): CancelHandle;
  cancel(handle: CancelHandle): void;
  memoryMap(pid: number, cancel: CancelHandle, largest: number): Promise<Omit<MemoryMap, keyof MemorySums>>;
  memoryPages(pid: number, cancel: CancelHandle): Promise<MemoryPages>;
}

/** @throws when there is none for this machine, or it is of another version */
export function loadAddon(): Addon {
  const find = createRequire(import.meta.url)('node-gyp-build') as (dir: string) => Partial<Addon>;
  const addon = find(projectRoot);
  if (addon.interfaceVersion === INTERFACE_VERSION) return addon as Addon;
  throw new Error('criu_cuda.node is of another version of this package');
}

function bytesOf(pairs: readonly GpuPair[]): Uint8Array {
  return Uint8Array.from(pairs.flatMap(({ oldUuid, newUuid }) => [...oldUuid, ...newUuid]));
}

function driverCalls(addon: Addon, driver: DriverHandle): DriverCalls {
  const resultOf = async (answer: Promise<Answer>): Promise<number> => (await answer).result;
  return {
    restoreThreadId: (pid) => addon.restoreThreadId(driver, pid),
    state: (pid) => addon.state(driver, pid),
    lock: (pid, timeoutMs) => resultOf(addon.lock(driver, pid, timeoutMs)),
    checkpoint: (pid) => resultOf(addon.checkpoint(driver, pid)),
    restore: (pid, pairs) => resultOf(addon.restore(driver, pid, bytesOf(pairs))),
    unlock: (pid) => resultOf(addon.unlock(driver, pid)),
    probe: (pid, { startTime, restoreTid, serviceTid }) =>
      addon.probe(driver, pid, startTime, restoreTid, serviceTid),
  };
}

async function cancelable<T>(
  addon: Addon,
  signal: AbortSignal | undefined,
  run: (cancel: CancelHandle) => Promise<T>,
): Promise<T> {
  const handle = addon.newCancel();
  const onAbort = (): void => {
    addon.cancel(handle);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await run(handle);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

export function addonBackend(addon: Addon): Backend {
  return {
    name: 'addon',
    libc: addon,
    memory: {
      map: (pid, largest, signal) =>
        cancelable(addon, signal, (cancel) => addon.memoryMap(pid, cancel, largest)),
      pages: (pid, signal) => cancelable(addon, signal, (cancel) => addon.memoryPages(pid, cancel)),
    },
    openDriver: async (path) => {
      const { handle: driver, ...opened } = await addon.openDriver(path);
      return { ...opened, calls: driverCalls(addon, driver) };
    },
    listGpus: async (libraries) => {
      const { devices, ...report } = await addon.devices(libraries);
      return { ...report, gpus: devices.map((device, index) => ({ index, ...device })) };
    },
    listGpuProcesses: (libraries) => addon.deviceProcesses(libraries),
  };
}
