// SPDX-License-Identifier: MIT
/**
 * Waiting for processes that libuv did not start: restored ones, orphans that
 * came to us as their subreaper, and processes of others. A pidfd becomes
 * readable when a process ends, so nothing polls; only the named pid is
 * collected, so libuv keeps its own children.
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
import { checkPid, readStat, type ProcessStat } from './proc.ts';

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

/** As a shell reports it: the exit code, or 128 + the signal; 1 when it is not known. */
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

/** Makes orphaned descendants children of this process. @returns a function that puts the prior state back */
export function becomeSubreaper(): () => void {
  if (getChildSubreaper()) return () => undefined;
  setChildSubreaper(true);
  return () => {
    setChildSubreaper(false);
  };
}

/** How long is waited. */
export interface WaitOptions {
  /** Gives up, with the signal's reason; the process is left alone. */
  signal?: AbortSignal | undefined;
  /** Milliseconds; gives up and returns `undefined`. @default never */
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

/** Children that came by a restore, with their start times: Node does not know them, and collects none of them. */
const restored = new Map<number, number>();

/** Marks a child that has been restored: {@link waitUntilCollected} collects it when nobody waits for it. */
export function markRestored(pid: number): void {
  const stat = readStat(pid);
  if (stat?.ppid === process.pid) restored.set(pid, stat.startTime);
}

const COLLECT_POLL_MS = 5;
const COLLECT_TIMEOUT_MS = 10_000;

/**
 * Collects a process that has ended. One that is traced, as by a criu that has just killed it, is its parent's only
 * when the tracer lets go, which nothing announces.
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
 * Waits for the end of a process and collects it when it is our child. Never
 * call it for a child that Node started: Node waits for that one itself.
 * @returns how it ended, `undefined` at the timeout
 */
export async function waitForExit(pid: number, options: WaitOptions = {}): Promise<ExitStatus | undefined> {
  checkPid(pid);
  checkTimeout(options);
  options.signal?.throwIfAborted();
  const fd = openProcess(pid);
  if (fd === undefined) return { kind: 'unknown' };
  const mark = restored.get(pid);
  restored.delete(pid); // it is collected here, with its status
  let status: ExitStatus | undefined;
  try {
    if (await untilReadable(fd, options)) status = await collect(pid);
    return status;
  } finally {
    if (mark !== undefined && status === undefined) restored.set(pid, mark);
    closeSync(fd);
  }
}

/** A process of anybody's, held on to so that its pid cannot come to mean another one. */
export interface WatchedProcess {
  /** Process id. */
  readonly pid: number;
  /** Waits for the end without collecting. @returns false at the timeout */
  ended(options?: WaitOptions): Promise<boolean>;
  /** Stops watching; the process goes on. */
  close(): void;
}

/** @returns `undefined` when there is no such process */
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
 * Waits until a process that has ended is collected by its parent, which
 * nothing announces; an init may take a second or two. One that this program
 * has restored is collected here.
 * @returns what is left of it at the timeout, `undefined` when its pid is free
 */
export async function waitUntilCollected(pid: number, timeoutMs: number): Promise<ProcessStat | undefined> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const stat = readStat(pid);
    if (stat?.state !== 'Z' || performance.now() > end) return stat;
    if (restored.get(pid) === stat.startTime) await waitForExit(pid);
    else await delay(COLLECT_POLL_MS);
  }
}
