// SPDX-License-Identifier: MIT
/**
 * What advice depends on: GPU, driver, pool, store, memory, and of a process its memory, container and interceptor. Nothing
 * is changed, and CUDA is not initialized.
 * @module
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { findMount, parseLimits, readJson, type Limits } from '../benchmark/index.ts';
import { listContexts } from '../context/index.ts';
import { ToolkitError, UsageError } from '../errors.ts';
import { listGpus } from '../gpu/index.ts';
import { availableHostMemory, fileSystemRoom } from '../machine/index.ts';
import { softcudaLibrary } from '../paths.ts';
import { readPoolStatus } from '../pool/index.ts';
import { readMemorySummary } from '../process/index.ts';

/** A process that may be dumped. */
export interface ProcessFacts {
  /** Its pid. */
  pid: number;
  /** Device memory, its contexts included; `undefined` when the driver does not tell. */
  deviceBytes: number | undefined;
  /** Host memory that no file backs. */
  hostBytes: number;
  /** Whether it was started with the interceptor, by `criu-cuda run`. */
  hasInterceptor: boolean;
  /** The engine of its container. */
  container: string | undefined;
}

/** The directory for images. */
export interface StoreFacts {
  /** As given. */
  path: string;
  /** File system. */
  type: string;
  /** Whether its files are in huge pages. */
  hugePages: boolean;
  /** Bytes. */
  freeBytes: number;
}

/** What `criu-cuda bench limits` measured. */
export interface LimitsFacts {
  /** Path of the file. */
  path: string;
  /** Its contents. */
  value: Limits;
}

/** What was found on this machine. */
export interface AdviceFacts {
  /** Name of the first GPU; `undefined` without one. */
  gpu: string | undefined;
  /** Version of its driver, such as `580.159.04`. */
  driver: string | undefined;
  /** Whether the driver is the software driver, whose times mean nothing. */
  software: boolean;
  /** Its memory in bytes. */
  gpuBytes: number | undefined;
  /** Whether the pool daemon answers. */
  pool: boolean;
  /** Logical CPUs. */
  cpus: number;
  /** Memory that a program can get, in bytes. */
  availableBytes: number;
  /** Where images would be. */
  store: StoreFacts;
  /** `undefined` where no process is named. */
  process: ProcessFacts | undefined;
  /** `undefined` without a result. */
  limits: LimitsFacts | undefined;
}

/** Where is looked. */
export interface FactsOptions {
  /** A process to advise for. */
  pid?: number | undefined;
  /** Directory for images. */
  store: string;
  /** A file of `criu-cuda bench limits`, or a directory with one. @default the newest below `results` */
  limits?: string | undefined;
  /** Stops looking. */
  signal?: AbortSignal | undefined;
}

/** What cannot be found out is unknown, not an error. */
async function ifKnown<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ToolkitError && !(error instanceof UsageError)) return undefined;
    throw error;
  }
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path));
}

function storeFacts(path: string): StoreFacts {
  const there = existing(resolve(path));
  const { type, options } = findMount(there, readFileSync('/proc/self/mounts', 'utf8'));
  return {
    path,
    type,
    hugePages: /huge=(always|within_size|advise)/.test(options),
    freeBytes: fileSystemRoom(there).freeBytes,
  };
}

/** The newest limits below a directory. */
function newestLimits(dir: string): string | undefined {
  if (!existsSync(dir)) return undefined;
  const files = readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name === 'limits.json' || name.endsWith('/limits.json'))
    .map((name) => join(dir, name));
  return files.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

function limitsFacts(path: string | undefined): AdviceFacts['limits'] {
  const isDirectory = path !== undefined && existsSync(path) && statSync(path).isDirectory();
  const file = path === undefined ? newestLimits('results') : isDirectory ? newestLimits(path) : path;
  if (file === undefined) {
    if (path === undefined) return undefined;
    throw new UsageError(
      `there is no limits.json below ${path}`,
      `criu-cuda bench limits --output ${path}/limits.json`,
    );
  }
  return { path: file, value: parseLimits(readJson(file), file) };
}

async function processFacts(pid: number, signal: AbortSignal | undefined): Promise<ProcessFacts> {
  const memory = await readMemorySummary(pid);
  if (memory === undefined)
    throw new UsageError(`there is no process ${pid}, or it is another user's`, 'criu-cuda process list');
  const found = await ifKnown(() => listContexts({ pid, signal }));
  const own = found?.contexts.filter((one) => one.pid === pid) ?? [];
  const used = own.flatMap(({ usedBytes }) => usedBytes ?? []);
  return {
    pid,
    deviceBytes: used.length === 0 ? undefined : used.reduce((sum, bytes) => sum + bytes, 0),
    hostBytes: memory.anonymousBytes,
    hasInterceptor: own.some(({ interceptor }) => interceptor !== null),
    container: own.find(({ container }) => container !== null)?.container?.engine,
  };
}

/** Looks at this machine, and at a process where one is named. */
export async function readAdviceFacts({ pid, store, limits, signal }: FactsOptions): Promise<AdviceFacts> {
  const [gpus, pool, process] = await Promise.all([
    ifKnown(() => listGpus({ signal })),
    ifKnown(() => readPoolStatus()),
    pid === undefined ? undefined : processFacts(pid, signal),
  ]);
  const gpu = gpus?.gpus[0];
  return {
    gpu: gpu?.name,
    driver: gpus?.driverVersion,
    software: gpus !== undefined && dirname(gpus.library) === dirname(softcudaLibrary()),
    gpuBytes: gpu?.memory?.totalBytes,
    pool: pool !== undefined,
    cpus: cpus().length,
    availableBytes: availableHostMemory() ?? 0,
    store: storeFacts(store),
    process,
    limits: limitsFacts(limits),
  };
}
