// SPDX-License-Identifier: MIT
/**
 * Loads criu_cuda.node: a prebuilt binary when one fits, else the one built here. Loading opens no driver.
 * @module
 */
import { createRequire } from 'node:module';
import { EnvironmentError } from '../errors.ts';
import { projectRoot } from '../paths.ts';
import type { Answer } from './koffi-driver.ts';
import type { MemoryKind, MemoryMapping, MemoryPages, MemorySums } from './types.ts';

/** An opened driver inside the addon. */
declare const handle: unique symbol;
export interface DriverHandle {
  readonly [handle]: true;
}

/** As NVML gives it; `null` is what the device does not say. */
export interface AddonDevice {
  /** `GPU-…`, as nvidia-smi prints it. */
  uuid: string;
  name: string;
  /** `domain:bus:device.function` in lower case, as in /sys/bus/pci/devices. */
  pciAddress: string | null;
  memory: { totalBytes: number; freeBytes: number; usedBytes: number } | null;
  /** PCIe generation and lanes now; an idle link may be slower than it can be. */
  linkGeneration: number | null;
  linkWidth: number | null;
  maxLinkGeneration: number | null;
  maxLinkWidth: number | null;
}

export interface AddonDevices {
  library: string;
  driverVersion: string;
  cudaVersion: number;
  devices: AddonDevice[];
}

export interface AddonProcess {
  pid: number;
  deviceUuid: string;
  usedBytes: number | null;
}

/** Tells a reader of memory to end early. */
declare const cancel: unique symbol;
export interface CancelHandle {
  readonly [cancel]: true;
}

/** What the addon exports; everything with a promise runs on a thread of its own. */
export interface Addon {
  openDriver(path: string): Promise<{ path: string; version: number; handle: DriverHandle }>;
  errorName(result: number): string;
  state(driver: DriverHandle, pid: number): Promise<Answer>;
  restoreThreadId(driver: DriverHandle, pid: number): Promise<Answer>;
  lock(driver: DriverHandle, pid: number, timeoutMs: number): Promise<Answer>;
  checkpoint(driver: DriverHandle, pid: number): Promise<Answer>;
  restore(driver: DriverHandle, pid: number, pairs: Uint8Array): Promise<Answer>;
  unlock(driver: DriverHandle, pid: number): Promise<Answer>;
  devices(libraries: readonly string[]): Promise<AddonDevices>;
  deviceProcesses(libraries: readonly string[]): Promise<AddonProcess[]>;
  newCancel(): CancelHandle;
  cancel(handle: CancelHandle): void;
  memoryMap(
    pid: number,
    cancel: CancelHandle,
    largest: number,
  ): Promise<{ kinds: Record<MemoryKind, MemorySums>; largest: MemoryMapping[] }>;
  memoryPages(pid: number, cancel: CancelHandle): Promise<MemoryPages>;
}

/** What an operation of the addon rejects with. */
export interface AddonFailure extends Error {
  /** `open`: a library is missing or too old; `nvml`: a call into NVML failed; `system`: a file could not be read. */
  kind: 'open' | 'nvml' | 'system';
  call?: string | undefined;
  /** The nvmlReturn_t, or errno. */
  result?: number | undefined;
}

const kinds: readonly unknown[] = ['open', 'nvml', 'system'] satisfies AddonFailure['kind'][];

export function isAddonFailure(error: unknown): error is AddonFailure {
  return error instanceof Error && 'kind' in error && kinds.includes(error.kind);
}

let addon: Addon | undefined;

/** @throws {@link EnvironmentError} when there is no addon for this machine */
export function loadAddon(): Addon {
  if (addon) return addon;
  const require = createRequire(import.meta.url);
  try {
    const find = require('node-gyp-build') as (dir: string) => Addon;
    addon = find(projectRoot);
    return addon;
  } catch (error) {
    const platform = `${process.platform}-${process.arch}`;
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new EnvironmentError(`no addon for ${platform}: ${reason}`, [
      {
        what: 'criu_cuda.node',
        remedy: `no prebuilt one fits; build it in ${projectRoot} with a C++ compiler: npm run build:addon`,
      },
    ]);
  }
}
