// SPDX-License-Identifier: MIT
/**
 * Every context at one moment.
 * @module
 */
import { abortable } from '../abortable.ts';
import { withDriverOf } from '../gpu/index.ts';
import { checkPid, listPids, readMappedFiles } from '../process/index.ts';
import { ContextReader, type ContextSource } from './reader.ts';
import type { ContextSnapshot } from './types.ts';

/** Which contexts are listed. */
export interface ContextOptions extends ContextSource {
  /** Only these processes. @default every process that this user may look at */
  pid?: number | readonly number[] | undefined;
  /** Gives up waiting, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Kept, so that a program that asks often need not watch. */
const readers = new Map<string, Promise<ContextReader>>();

/** One for each driver, backend and run directory. An error is not kept. */
function readerFor({ driver, backend, runDir }: ContextSource): Promise<ContextReader> {
  const { CRIU_CUDA_DRIVER, CRIU_CUDA_RUN_DIR, CRIU_CUDA_NATIVE, CRIU_CUDA_CONFIG } = process.env;
  const set = [CRIU_CUDA_DRIVER, CRIU_CUDA_RUN_DIR, CRIU_CUDA_NATIVE, CRIU_CUDA_CONFIG];
  const key = JSON.stringify([driver ?? null, backend ?? null, runDir ?? null, ...set]);
  const known = readers.get(key);
  if (known) return known;
  const reader = ContextReader.open({ driver, backend, runDir });
  readers.set(key, reader);
  reader.catch(() => readers.delete(key));
  return reader;
}

/** The reader for these processes: where there is no GPU, they may have the software driver. */
export async function readerOf(
  options: ContextSource,
  pids: readonly number[] | undefined,
): Promise<ContextReader> {
  if (options.driver !== undefined) return readerFor(options);
  const added = await withDriverOf(undefined, () => readMappedFiles(pids ?? listPids()));
  return readerFor(
    added?.CRIU_CUDA_DRIVER === undefined ? options : { ...options, driver: added.CRIU_CUDA_DRIVER },
  );
}

/** @throws `UsageError` for something that is not a pid */
export function pidsOf(pid: ContextOptions['pid']): readonly number[] | undefined {
  if (pid === undefined) return undefined;
  const pids = Array.isArray(pid) ? (pid as readonly number[]) : [pid];
  pids.forEach(checkPid);
  return [...new Set(pids as readonly number[])];
}

/**
 * Lists what each process has on each GPU, checkpointed processes included, and the contexts of the pool daemon. CUDA is
 * not initialized, and the event loop does not wait. What cannot change for a process is asked once, so later calls are
 * faster. A process without CUDA, or that this user may not look at, has no entry.
 * @throws `UsageError` for something that is not a pid; `EnvironmentError` without a driver, or with neither addon nor
 * koffi; `SettingError` for a wrong settings file; `NvmlError` when NVML refuses. Without NVML, `deviceUuid` and
 * `usedBytes` are `null`.
 */
export async function listContexts(options: ContextOptions = {}): Promise<ContextSnapshot> {
  const pids = pidsOf(options.pid);
  const read = async (): Promise<ContextSnapshot> =>
    (await (await readerOf(options, pids)).read(pids)).snapshot;
  return abortable(read, options.signal);
}
