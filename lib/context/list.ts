// SPDX-License-Identifier: MIT
/**
 * Every context at one moment.
 * @module
 */
import { abortable } from '../abortable.ts';
import { UsageError } from '../errors.ts';
import { isPid } from '../process/index.ts';
import { ContextReader, type ReaderOptions } from './reader.ts';
import type { ContextSnapshot } from './types.ts';

export interface ContextOptions extends ReaderOptions {
  /** Only these processes. @default every process that this user may look at */
  pid?: number | readonly number[] | undefined;
  /** Gives up waiting, with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What was learned serves the next call, so that a program that asks often need not watch. */
const readers = new Map<string, Promise<ContextReader>>();

/** One for each driver, backend and run directory. An error is not kept. */
export function readerFor({ driver, backend, runDir }: ReaderOptions): Promise<ContextReader> {
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

/** @throws {@link UsageError} for something that is no pid */
export function pidsOf(pid: ContextOptions['pid']): readonly number[] | undefined {
  const pids = typeof pid === 'number' ? [pid] : pid;
  const wrong = pids?.find((one) => !isPid(one));
  if (wrong !== undefined) throw new UsageError(`${wrong} is not a pid`);
  return pids && [...new Set(pids)];
}

/**
 * Lists what each process has on each GPU, checkpointed processes included, and the pool's own contexts. CUDA is not
 * initialized, the event loop does not wait, and what cannot change for a process is asked once: later calls are faster.
 * A pid without CUDA, or one that this user may not look at, has no entry.
 * @throws `UsageError` for something that is no pid; `EnvironmentError` without a driver, or with neither addon nor
 * koffi; `NvmlError` when NVML refuses (a machine without NVML has no `deviceUuid` and no `usedBytes`)
 */
export async function listContexts(options: ContextOptions = {}): Promise<ContextSnapshot> {
  const pids = pidsOf(options.pid);
  const read = async (): Promise<ContextSnapshot> => (await (await readerFor(options)).read(pids)).snapshot;
  return abortable(read, options.signal);
}
