// SPDX-License-Identifier: MIT
/**
 * The control socket of the pool daemon: a request is one line, its answer one line of JSON
 * (plugins-cuda/pool/control.c has the grammar).
 * @module
 */
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { isErrno, reasonOf } from '../errno.ts';
import { sudoCommand } from '../machine/index.ts';
import { loadSettings } from '../settings/index.ts';
import { CodedError, EnvironmentError, InterruptedError } from '../errors.ts';
import type { Environment } from '../paths.ts';
import { bytesOfFiles, ReadMeter, watchTransfer, type OnTransfer } from '../process/index.ts';
import { openRunDir, socketBelow } from '../run-dir.ts';
import { checkPath } from '../check.ts';
import { workOf, workSchema, type PoolWork } from './work.ts';

const count = z.int().nonnegative();

const deviceSchema = z.object({
  name: z.string(),
  uuid: z.string(),
  total_bytes: count,
  free_bytes: count,
  resident_bytes: count,
});

const imageSchema = z.object({
  dir: z.string(),
  pid: z.int().positive(),
  origin: z.enum(['prefetch', 'hold']),
  golden: z.boolean(),
  state: z.enum(['loading', 'resident', 'failed']),
  // a daemon of an earlier version has none in host memory
  memory: z.enum(['device', 'host']).default('device'),
  bytes: count,
  // a daemon of an earlier version does not say it
  loaded_bytes: count.optional(),
  idle_ms: count,
});

const statusSchema = workSchema.extend({
  driver: z.int(),
  budget_bytes: count,
  devices: z.array(deviceSchema),
  images: z.array(imageSchema),
  counters: z.record(z.string(), count),
});

export const errorSchema = z.object({ error: z.object({ errno: z.int(), message: z.string() }) });

/** A GPU of the daemon; sizes in bytes. */
export interface PoolGpu {
  /** Name from the CUDA driver. */
  name: string;
  /** `GPU-…` */
  uuid: string;
  /** Total device memory. */
  totalBytes: number;
  /** Free device memory. */
  freeBytes: number;
  /** Device memory that resident images use. */
  residentBytes: number;
}

/** An image in device memory. */
export interface PoolImage {
  /** Images directory. */
  dir: string;
  /** Pid of the dumped process, as in the image's file name. */
  pid: number;
  /** How the image became resident: read from its files, or held after a dump. */
  origin: 'prefetch' | 'hold';
  /** A golden image serves any number of restores; others are removed by the first one. */
  isGolden: boolean;
  /** Being read, ready, or damaged. */
  state: 'loading' | 'resident' | 'failed';
  /** Where it is: in host memory if the driver takes it and a GPU has no room for the image and its process. */
  memory: 'device' | 'host';
  /** Memory that the image uses there. */
  bytes: number;
  /** How much of it has been loaded; `undefined`: a daemon of an earlier version does not say it. */
  loadedBytes?: number | undefined;
  /** Milliseconds since it was last used. */
  idleMs: number;
}

/** What the daemon has. */
export interface PoolStatus extends PoolWork {
  /** CUDA driver API, 13000 for 13.0. */
  driver: number;
  /** Limit of device memory for resident images per GPU, in bytes; 0 means no limit. */
  budgetBytes: number;
  /** The GPUs with a warm context. */
  devices: PoolGpu[];
  /** Images in device memory, or ready in host memory. */
  images: PoolImage[];
  /** Counters since the daemon started: dumps, restores, reused, loads, evictions, failures, bytes_saved, … */
  counters: Record<string, number>;
}

/** The daemon does not answer (`ERR_POOL_ABSENT`) or refused the request (`ERR_POOL`). */
export class PoolError extends CodedError<'ERR_POOL' | 'ERR_POOL_ABSENT'> {}

/** Which daemon to ask. */
export interface PoolOptions {
  /** The daemon's run directory. @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** The environment that settings are read from. @default the process's own */
  env?: Environment | undefined;
  /** Stops waiting; the daemon continues with the request. */
  signal?: AbortSignal | undefined;
}

export function poolRunDir(options: PoolOptions = {}): string {
  if (options.runDir !== undefined) checkPath('runDir', options.runDir);
  return options.runDir ?? loadSettings(options.env ?? process.env).settings.CRIU_CUDA_RUN_DIR;
}

const CONTROL_SOCKET = 'control.sock';

export const controlSocket = (runDir: string): string => join(runDir, CONTROL_SOCKET);

function absent(path: string, cause: unknown): PoolError {
  const isDenied = isErrno(cause, 'EACCES', 'EPERM');
  const message = `no pool daemon answers at ${path}${isDenied ? `: ${reasonOf(cause)}` : ''}`;
  return new PoolError('ERR_POOL_ABSENT', message, {
    hint: isDenied ? `run it as root: ${sudoCommand()}` : 'start one with criu-cuda pool start',
    // a socket that is not there says no more, and its path here is one of /proc
    cause: isErrno(cause, 'ENOENT') ? undefined : cause,
  });
}

/**
 * Connects to the daemon's socket, in the directory that was checked.
 * @throws `EnvironmentError` when others may have made the directory or the socket
 */
export async function connectTo(runDir: string): Promise<Socket> {
  let fd: number | undefined;
  try {
    fd = openRunDir(runDir);
    if (fd === undefined) throw absent(controlSocket(runDir), undefined);
    const socket = connect({ path: socketBelow(fd, runDir, CONTROL_SOCKET) });
    await once(socket, 'connect');
    return socket;
  } catch (error) {
    throw error instanceof EnvironmentError || error instanceof PoolError
      ? error
      : absent(controlSocket(runDir), error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

async function exchange(runDir: string, line: string, signal: AbortSignal | undefined): Promise<string> {
  const socket = await connectTo(runDir);
  const stop = (): void =>
    void socket.destroy(
      signal?.reason instanceof InterruptedError
        ? signal.reason
        : new InterruptedError('ERR_INTERRUPTED', 'interrupted', { cause: signal?.reason }),
    );
  if (signal?.aborted) stop();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    socket.setEncoding('utf8').write(`${line}\n`);
    let text = '';
    for await (const part of socket) text += String(part);
    return text;
  } catch (error) {
    if (isErrno(error, 'EPIPE', 'ECONNRESET')) return '';
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function parseAnswer<T>(path: string, text: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new PoolError(
      'ERR_POOL',
      `the pool daemon at ${path} sent an answer that this program cannot parse`,
      {
        cause,
        hint: 'check that the daemon and this program have the same version',
      },
    );
  }
}

async function ask<T>(words: readonly string[], schema: z.ZodType<T>, options: PoolOptions): Promise<T> {
  const runDir = poolRunDir(options);
  const path = controlSocket(runDir);
  const text = await exchange(runDir, words.join(' '), options.signal);
  if (!text.endsWith('\n'))
    throw new PoolError(
      'ERR_POOL',
      `the pool daemon at ${path} closed the connection before the end of its answer`,
      { hint: `its log may say why: ${join(runDir, 'pool.log')}, or journalctl -u cuda-poold` },
    );
  const answer = parseAnswer(path, text, z.unknown());
  const refused = errorSchema.safeParse(answer);
  if (refused.success) throw new PoolError('ERR_POOL', refused.data.error.message);
  return parseAnswer(path, text, schema);
}

/** Encodes a path for the daemon. `encodeURIComponent` leaves `*` unchanged, but there it means "all". */
export function directoryWord(dir: string): string {
  checkPath('dir', dir);
  return encodeURIComponent(resolve(dir)).replaceAll('*', '%2A');
}

/**
 * The part of {@link readPoolStatus} that the daemon knows without asking the driver.
 * @throws {@link PoolError}; a daemon of an earlier version refuses it
 */
export async function readPoolWork(options: PoolOptions = {}): Promise<PoolWork> {
  return workOf(await ask(['contexts'], workSchema, options));
}

/** What is warm, in progress and resident, and counters. @throws {@link PoolError} */
export async function readPoolStatus(options: PoolOptions = {}): Promise<PoolStatus> {
  const answer = await ask(['status'], statusSchema, options);
  const { driver, budget_bytes, devices, images, counters } = answer;
  return {
    ...workOf(answer),
    driver,
    counters,
    budgetBytes: budget_bytes,
    devices: devices.map(({ total_bytes, free_bytes, resident_bytes, ...device }) => ({
      ...device,
      totalBytes: total_bytes,
      freeBytes: free_bytes,
      residentBytes: resident_bytes,
    })),
    images: images.map(({ golden, idle_ms, loaded_bytes, ...image }) => ({
      ...image,
      isGolden: golden,
      idleMs: idle_ms,
      loadedBytes: loaded_bytes,
    })),
  };
}

/** How to load images. */
export interface PrefetchOptions extends PoolOptions {
  /** Whether restores copy the image, which stays resident. @default false */
  golden?: boolean | undefined;
  /** Called about three times per second with the bytes that the daemon has read. */
  onProgress?: OnTransfer | undefined;
}

/** Stripes of GPU images. */
const STRIPES = /^cuda-\d+-\d+\.img$/;

/** Watches the daemon, which reads for nobody else as a rule; of images that are resident already it reads nothing. */
async function watchDaemon(dir: string, options: PrefetchOptions): Promise<() => void> {
  const { onProgress } = options;
  const daemon = onProgress && (await readPoolWork(options).catch(() => undefined));
  if (!onProgress || !daemon) return () => undefined;
  const meter = new ReadMeter(bytesOfFiles(dir, STRIPES).size, daemon.pid);
  return watchTransfer(() => meter.read(daemon.pid), onProgress);
}

/**
 * Loads the GPU images of a directory into device memory and returns when they are resident. A restore takes such an
 * image away; a golden one is copied and stays.
 * @returns the number of resident images of the directory
 * @throws {@link PoolError} no such image, a damaged one, or not enough room in the budget
 */
export async function prefetchImages(dir: string, options: PrefetchOptions = {}): Promise<number> {
  const words = ['prefetch', directoryWord(dir), ...(options.golden === true ? ['golden'] : [])];
  const stopWatching = await watchDaemon(dir, options);
  try {
    return (await ask(words, z.object({ resident: count }), options)).resident;
  } catch (error) {
    if (!(error instanceof InterruptedError)) throw error;
    throw new InterruptedError(
      'ERR_INTERRUPTED',
      `${error.message}: the pool daemon continues to load ${dir}`,
      {
        hint: `to give it up: criu-cuda pool drop${options.golden === true ? ' --force' : ''} ${dir}`,
        cause: error,
      },
    );
  } finally {
    stopWatching();
  }
}

/** Which images to drop. */
export interface DropOptions extends PoolOptions {
  /** Whether to drop golden images too. @default false */
  force?: boolean | undefined;
}

async function drop(which: string, options: DropOptions): Promise<number> {
  const words = ['drop', which, ...(options.force === true ? ['force'] : [])];
  return (await ask(words, z.object({ dropped: count }), options)).dropped;
}

/**
 * Frees the device memory of the resident images of a directory.
 * @returns how many images were dropped; golden ones only with `force`
 * @throws {@link PoolError} no daemon answers, or it refused
 * @throws {@link UsageError} no directory was given
 */
export async function dropImages(dir: string, options: DropOptions = {}): Promise<number> {
  return drop(directoryWord(dir), options);
}

/**
 * Frees the device memory of all resident images.
 * @returns how many images were dropped; golden ones only with `force`
 * @throws {@link PoolError} no daemon answers, or it refused
 */
export function dropAllImages(options: DropOptions = {}): Promise<number> {
  return drop('*', options);
}

/** Marks the resident images of a directory as golden, or removes the mark. @returns how many images were changed */
export async function markGolden(dir: string, golden: boolean, options: PoolOptions = {}): Promise<number> {
  const words = ['golden', directoryWord(dir), golden ? 'on' : 'off'];
  return (await ask(words, z.object({ marked: count }), options)).marked;
}
