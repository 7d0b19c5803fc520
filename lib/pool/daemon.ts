// SPDX-License-Identifier: MIT
/**
 * Starts and stops the pool daemon by hand; a service uses systemd instead.
 * @module
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { makeDirectory } from '../directory.ts';
import { isErrno, reasonOf } from '../errno.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import { tailOf } from '../exec.ts';
import { checkRunDir } from '../run-dir.ts';
import { variantDir } from '../variant.ts';
import { readStat, waitForExit } from '../process/index.ts';
import {
  controlSocket,
  PoolError,
  poolRunDir,
  readPoolStatus,
  type PoolOptions,
  type PoolStatus,
} from './client.ts';
import { checkMilliseconds } from '../check.ts';

/** Creating a context on each of many GPUs takes long. */
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 600_000;

/** A link or a FIFO in the place of our own log is an error; a caller may name one. */
const ownLogFlags =
  constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** How to start the daemon. */
export interface StartPoolOptions extends PoolOptions {
  /** Path of the program. @default `cuda-poold` of the built variant `full` */
  program?: string | undefined;
  /** Path of the log file. @default `pool.log` in the run directory */
  logFile?: string | undefined;
}

const inodeOf = (path: string): bigint | undefined =>
  statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;

/**
 * Waits for the daemon's socket.
 * @param stale inode of a socket that an earlier daemon left; the new daemon replaces that socket once it can answer
 */
async function untilSocket(path: string, stale: bigint | undefined, signal: AbortSignal): Promise<boolean> {
  const isThere = (): boolean => ![undefined, stale].includes(inodeOf(path));
  try {
    const changes = watch(join(path, '..'), { signal });
    // Watching begins with the first call of next().
    const first = changes[Symbol.asyncIterator]();
    let next = first.next();
    while (!isThere()) {
      const { done } = await next;
      if (done === true) return false;
      next = first.next();
    }
    next.catch(() => undefined);
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}

/** @throws {@link UsageError} the file cannot be written */
function openLog(path: string, flags: string | number): number {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    const remedy = isErrno(error, 'EACCES', 'EPERM')
      ? 'run it as root, or name another file with --log'
      : 'name another file with --log';
    throw new UsageError(`cannot write the log ${path}: ${reasonOf(error)}`, remedy);
  }
}

const NO_DRIVER = /no libcuda\.so\.1 found/;

/** Why the daemon ended at once: what its log says, or what to do where it finds no driver. */
async function startError(program: string, log: string): Promise<PoolError> {
  const [found] = NO_DRIVER.exec(log) ?? [];
  if (found === undefined) return new PoolError('ERR_POOL', `cannot start ${program}: ${log}`);
  const { driverRemedy } = await import('../gpu/index.ts');
  return new PoolError('ERR_POOL', `cannot start ${program}: ${found}`, { hint: driverRemedy() });
}

/**
 * Starts the daemon and returns when it answers.
 * @throws {@link PoolError} the daemon ended; the message contains the end of its log
 */
export async function startPool(options: StartPoolOptions = {}): Promise<PoolStatus> {
  const runDir = poolRunDir(options);
  const program = options.program ?? join(variantDir('full', options.env), 'cuda-poold');
  if (!existsSync(program))
    throw new EnvironmentError(`${program} is not built`, [
      { what: 'cuda-poold', remedy: 'criu-cuda build' },
    ]);
  const running = await readPoolStatus({ ...options, runDir }).catch((error: unknown) => {
    if (error instanceof PoolError && error.code === 'ERR_POOL_ABSENT') return undefined;
    throw error;
  });
  if (running)
    throw new PoolError('ERR_POOL', `a pool daemon is already running for ${runDir}: pid ${running.pid}`);
  makeDirectory(runDir, 0o700);
  checkRunDir(runDir);
  const logFile = options.logFile ?? join(runDir, 'pool.log');
  const log = openLog(logFile, options.logFile === undefined ? ownLogFlags : 'a');
  const { size: logged } = fstatSync(log);
  const stale = inodeOf(controlSocket(runDir));
  const env = { ...process.env, ...options.env, CRIU_CUDA_RUN_DIR: runDir };
  const child = spawn(program, [], { detached: true, stdio: ['ignore', 'ignore', log], env });
  closeSync(log);
  await once(child, 'spawn');
  const stop = new AbortController();
  child.once('exit', () => {
    stop.abort();
  });
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  const signals = [stop.signal, timeout, ...(options.signal === undefined ? [] : [options.signal])];
  const isUp = await untilSocket(controlSocket(runDir), stale, AbortSignal.any(signals));
  if (!isUp || child.exitCode !== null) {
    child.kill();
    throw await startError(basename(program), tailOf(readFileSync(logFile).subarray(logged).toString()));
  }
  child.unref();
  return readPoolStatus({ ...options, runDir }).catch((error: unknown) => {
    child.kill();
    throw error;
  });
}

/** How long to wait for the daemon. */
export interface StopPoolOptions extends PoolOptions {
  /** Milliseconds; long, because dumps in progress finish first. @default 600_000 */
  timeoutMs?: number | undefined;
  /** Called at once if the daemon has memory of standbys, for which it waits: with their pids. */
  onStandbys?: ((pids: number[]) => void) | undefined;
}

/** The processes that were restored and are stopped: the daemon waits until each is woken or ends. */
function standbysOf({ operations }: PoolStatus): number[] {
  return operations.flatMap(({ kind, pid }) =>
    kind === 'restore' && pid !== null && readStat(pid)?.state === 'T' ? [pid] : [],
  );
}

const NOTHING_TO_STOP =
  'nothing has to be stopped, unless a daemon has another run directory: name that with CRIU_CUDA_RUN_DIR';

/** No daemon is there; not: this user may not ask. */
const isAbsent = (error: unknown): error is PoolError =>
  error instanceof PoolError && error.code === 'ERR_POOL_ABSENT' && !isErrno(error.cause, 'EACCES', 'EPERM');

/**
 * Stops the daemon: operations in progress finish first, resident images are dropped.
 * @returns the daemon's pid
 * @throws {@link PoolError} no daemon answers, or it did not end in time
 */
export async function stopPool(options: StopPoolOptions = {}): Promise<number> {
  const { signal, timeoutMs = STOP_TIMEOUT_MS, onStandbys } = options;
  checkMilliseconds('timeoutMs', timeoutMs);
  const before = await readPoolStatus(options).catch((error: unknown) => {
    throw isAbsent(error) ? new PoolError(error.code, error.message, { hint: NOTHING_TO_STOP }) : error;
  });
  const { pid } = before;
  const standbys = standbysOf(before);
  if (standbys.length > 0) onStandbys?.(standbys);
  process.kill(pid, 'SIGTERM');
  const status = await waitForExit(pid, { timeoutMs, signal });
  if (status) return pid;
  throw new PoolError('ERR_POOL', `cuda-poold ${pid} has not ended after ${timeoutMs / 1000} s`, {
    hint:
      standbys.length > 0
        ? `it waits for ${standbys.map((one) => `the standby ${one}`).join(', ')}: wake it (criu-cuda wake PID) or end it (criu-cuda stop PID)`
        : 'it ends when its operations have finished; a second SIGTERM ends it at once',
  });
}
