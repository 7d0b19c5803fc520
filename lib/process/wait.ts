// SPDX-License-Identifier: MIT
/**
 * Waits for processes that libuv did not start: restored ones, orphans that this process adopted as their subreaper,
 * and processes of others. A pidfd becomes readable when its process ends, so nothing is polled. Only the given pid is
 * collected, so libuv still collects its own children.
 * @module
 */
import { closeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  getChildSubreaper,
  onReadable,
  pidfdOpen,
  setChildSubreaper,
  SystemCallError,
  waitpidNoHang,
} from '../native/index.ts';
import { checkMilliseconds } from '../check.ts';
import { checkPid, isEnding, readStat, type ProcessStat } from './proc.ts';

/** How a process ended. */
export type ExitStatus =
  | {
      /** It called exit. */
      kind: 'exited';
      /** The exit code, 0-255. */
      code: number;
    }
  | {
      /** A signal ended it. */
      kind: 'signaled';
      /** Number of the signal. */
      signal: number;
      /** Whether the kernel wrote a core file. */
      coreDumped: boolean;
    }
  | {
      /** It was not our child, or another process collected it: its status is not known here. */
      kind: 'unknown';
    };

/** Decodes the number that waitpid fills in. */
export function decodeWaitStatus(status: number): ExitStatus {
  const signal = status & 0x7f;
  return signal === 0
    ? { kind: 'exited', code: (status >> 8) & 0xff }
    : { kind: 'signaled', signal, coreDumped: (status & 0x80) !== 0 };
}

/** The exit code as a shell reports it: the process's own, or 128 + the signal; 1 when it is not known. */
export function exitCodeOf(status: ExitStatus): number {
  switch (status.kind) {
    case 'exited':
      return status.code;
    case 'signaled':
      return 128 + status.signal;
    case 'unknown':
      return 1;
  }
}

/** Makes orphaned descendants children of this process. @returns a function that restores the prior setting */
export function becomeSubreaper(): () => void {
  if (getChildSubreaper()) return () => undefined;
  setChildSubreaper(true);
  return () => {
    setChildSubreaper(false);
  };
}

/** How long to wait. */
export interface WaitOptions {
  /** Stops waiting and throws the signal's reason; the process is not touched. */
  signal?: AbortSignal | undefined;
  /** Milliseconds, after which the wait ends without a result. @default no timeout */
  timeoutMs?: number | undefined;
}

function checkTimeout({ timeoutMs }: WaitOptions): void {
  if (timeoutMs !== undefined) checkMilliseconds('timeoutMs', timeoutMs);
}

function noSuchProcess(error: unknown): boolean {
  return error instanceof SystemCallError && ['ERR_SYSTEM_ESRCH', 'ERR_SYSTEM_ECHILD'].includes(error.code);
}

function openProcess(pid: number): number | undefined {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    if (noSuchProcess(error)) return undefined;
    throw error;
  }
}

/** A restored child. Node does not know these processes and collects none of them. */
interface Restored {
  startTime: number;
  /** Called once when it has ended, while nothing else can have its pid. */
  onEnd: () => void;
}
const restored = new Map<number, Restored>();

/**
 * Marks a restored child: {@link waitUntilCollected} collects it if no {@link waitForExit} does.
 * @param onEnd called when it has ended, before it is collected, so that nothing else can have its pid
 */
export function markRestored(pid: number, onEnd: () => void = () => undefined): void {
  const stat = readStat(pid);
  if (stat?.ppid === process.pid) restored.set(pid, { startTime: stat.startTime, onEnd });
}

/** Processes whose end is waited for here, and which are collected then. */
const awaited = new Map<number, Promise<ExitStatus | undefined>>();

const COLLECT_POLL_MS = 1;
const COLLECT_TIMEOUT_MS = 10_000;

/**
 * Collects a process that has ended. While it is traced, as by a criu that has just killed it, its parent cannot
 * collect it, and nothing tells when the tracer detaches: so this polls.
 */
async function collect(pid: number): Promise<ExitStatus> {
  const end = performance.now() + COLLECT_TIMEOUT_MS;
  try {
    while (readStat(pid)?.ppid === process.pid && performance.now() < end) {
      const status = waitpidNoHang(pid);
      if (status !== undefined) return decodeWaitStatus(status);
      await delay(COLLECT_POLL_MS);
    }
  } catch (error) {
    if (!noSuchProcess(error)) throw error;
  }
  return { kind: 'unknown' };
}

/** Resolves `true` at the end of the process, `false` at the timeout. */
function untilReadable(fd: number, options: WaitOptions): Promise<boolean> {
  const { signal, timeoutMs } = options;
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      stopPolling();
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = (): void => {
      finish(() => {
        reject(signal?.reason as Error);
      });
    };
    const stopPolling = onReadable(fd, () => {
      finish(() => {
        resolve(true);
      });
    });
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            finish(() => {
              resolve(false);
            });
          }, timeoutMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Waits for the end of a process, and collects it if it is our child. Never call this for a child that Node started:
 * Node collects those itself.
 * @returns how it ended, `undefined` at the timeout
 */
export async function waitForExit(pid: number, options: WaitOptions = {}): Promise<ExitStatus | undefined> {
  checkPid(pid);
  checkTimeout(options);
  options.signal?.throwIfAborted();
  const fd = openProcess(pid);
  if (fd === undefined) return { kind: 'unknown' };
  const exit = exitOf(pid, fd, options);
  awaited.set(pid, exit);
  try {
    return await exit;
  } finally {
    if (awaited.get(pid) === exit) awaited.delete(pid);
  }
}

async function exitOf(pid: number, fd: number, options: WaitOptions): Promise<ExitStatus | undefined> {
  const mark = restored.get(pid);
  restored.delete(pid); // collected below, with its status
  let status: ExitStatus | undefined;
  try {
    if (await untilReadable(fd, options)) {
      mark?.onEnd();
      status = await collect(pid);
    }
    return status;
  } finally {
    if (mark !== undefined && status === undefined) restored.set(pid, mark);
    closeSync(fd);
  }
}

/** Any process, held by a pidfd so that its pid cannot be mistaken for a later process. */
export interface WatchedProcess {
  /** Process id. */
  readonly pid: number;
  /** Waits for the end without collecting. @returns `false` at the timeout */
  ended(options?: WaitOptions): Promise<boolean>;
  /** Stops watching; the process keeps running. */
  close(): void;
}

/** Starts watching a process. @returns `undefined` when there is no such process */
export function watchProcess(pid: number): WatchedProcess | undefined {
  checkPid(pid);
  const fd = openProcess(pid);
  if (fd === undefined) return undefined;
  let open = true;
  return {
    pid,
    ended: async (options = {}) => {
      checkTimeout(options);
      options.signal?.throwIfAborted();
      return untilReadable(fd, options);
    },
    close: () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}

/**
 * Waits until the parent of a zombie has collected it. Nothing announces that, so this polls; an init may take a second
 * or two. A zombie that this program restored, or waits for, is collected here.
 * @returns the process at the timeout, or `undefined` once its pid is free
 */
export async function waitUntilCollected(pid: number, timeoutMs: number): Promise<ProcessStat | undefined> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const stat = readStat(pid);
    if (stat?.state !== 'Z') return stat;
    const own = stat.ppid === process.pid && isEnding(pid) ? awaited.get(pid) : undefined;
    // what this program collects is collected, however busy it is
    if (own) await own.catch(() => undefined);
    else if (restored.get(pid)?.startTime === stat.startTime) await waitForExit(pid);
    else if (performance.now() > end) return stat;
    else await delay(COLLECT_POLL_MS);
  }
}
