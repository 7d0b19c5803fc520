// SPDX-License-Identifier: MIT
/**
 * The memory of a process, mapping by mapping and page by page: what CRIU will find.
 * @module
 */
import { abortable } from '../abortable.ts';
import { UsageError } from '../errors.ts';
import {
  isNativeFailure,
  nativeBackend,
  SystemCallError,
  type BackendName,
  type MemoryCalls,
  type MemoryMap,
  type MemoryPages,
  type MemorySums,
} from '../native/index.ts';
import { checkPid } from './proc.ts';

/** How memory is read. */
export interface MemoryOptions {
  /** Gives up, with the signal's reason; a large process may take a second. */
  signal?: AbortSignal | undefined;
  /** Forces one way to native code. @default CRIU_CUDA_NATIVE, else the addon where there is one, else koffi */
  backend?: BackendName | undefined;
}

/** How memory is read, and how much of it is listed. */
export interface MemoryMapOptions extends MemoryOptions {
  /** How many single mappings are wanted. @default 16 */
  largest?: number | undefined;
}

const MOST_MAPPINGS = 65_536;
const isGone = (errno: number | undefined): boolean => errno === 2 || errno === 3; // ENOENT, ESRCH

async function read<T>(
  pid: number,
  { signal, backend }: MemoryOptions,
  run: (memory: MemoryCalls) => Promise<T>,
): Promise<T | undefined> {
  checkPid(pid);
  const { memory } = nativeBackend(backend);
  try {
    return await abortable(() => run(memory), signal);
  } catch (error) {
    if (!isNativeFailure(error)) throw error;
    if (isGone(error.result)) return undefined;
    throw new SystemCallError(
      `reading ${error.call ?? '/proc'}`,
      error.result ?? 0,
      'root, or CAP_SYS_PTRACE, may look at the memory of others',
    );
  }
}

/**
 * Adds up the mappings of a process. The kernel goes through all its pages for it, and waits while somebody changes
 * its map: off the event loop.
 * @returns `undefined` when there is no such process
 * @throws `SystemCallError` ERR_SYSTEM_EACCES for a process of somebody else; `UsageError`; `EnvironmentError`
 * with neither addon nor koffi
 */
export async function readMemoryMap(
  pid: number,
  { largest = 16, ...options }: MemoryMapOptions = {},
): Promise<MemoryMap | undefined> {
  if (!Number.isInteger(largest) || largest < 0 || largest > MOST_MAPPINGS) {
    throw new UsageError(`largest ${largest} is not a whole number from 0 to ${MOST_MAPPINGS}`);
  }
  const map = await read(pid, options, (memory) => memory.map(pid, largest, options.signal));
  if (!map) return undefined;
  const kinds = Object.values(map.kinds);
  const sum = (field: keyof MemorySums): number => kinds.reduce((total, kind) => total + kind[field], 0);
  return {
    mappings: sum('mappings'),
    sizeBytes: sum('sizeBytes'),
    residentBytes: sum('residentBytes'),
    hugePageBytes: sum('hugePageBytes'),
    swappedBytes: sum('swappedBytes'),
    ...map,
  };
}

/**
 * Counts the pages of a process by their state. Mappings without a resident page are skipped: CUDA reserves terabytes.
 * Throws and returns `undefined` as {@link readMemoryMap}.
 */
export function readMemoryPages(pid: number, options: MemoryOptions = {}): Promise<MemoryPages | undefined> {
  return read(pid, options, (memory) => memory.pages(pid, options.signal));
}
