// SPDX-License-Identifier: MIT
/**
 * One run of criu, from its start until everything that reports about it has ended: criu itself and the plugin's
 * watcher.
 * @module
 */
import { join } from 'node:path';
import { monotonicMs } from '../clock.ts';
import { checkWritable, removeFile } from '../directory.ts';
import { CommandError, type CommandFacts } from '../errors.ts';
import { execResult, tailOf, type ExecOptions } from '../exec.ts';
import { collectBackgroundProcesses, readStat, waitForExit, watcherName } from '../process/index.ts';
import { dumpLog, restoreLog } from './arguments.ts';
import { readCriuLog, type CriuLogSummary } from './log.ts';
import {
  archiveOpStatus,
  readOpStatus,
  removeOpStatus,
  type CudaTask,
  type OpStatus,
} from './status/op-status.ts';

/** Dumping a terabyte takes long, but a hang must not last forever. */
export const DEFAULT_CRIU_TIMEOUT_MS = 3_600_000;
/** The watcher may have to wait for a driver call, and then to restore device memory. */
const WATCHER_TIMEOUT_MS = 900_000;

export interface CriuRun {
  stage: 'dump' | 'restore';
  /** The criu program. */
  criu: string;
  args: readonly string[];
  workDir: string;
  /** Where the plugin writes its status file. */
  runDir: string;
  env?: Record<string, string | undefined> | undefined;
  signal?: AbortSignal | undefined;
  timeoutMs?: number | undefined;
  /** How long criu may take to end by itself when the time is over or the caller aborts. Milliseconds. @default 0 */
  gracePeriod?: (() => number) | undefined;
  /** The tasks are left stopped, and take their device memory when they are woken. */
  leaveStopped?: boolean | undefined;
  /** Open descriptors that criu gets as 3, 4, and so on. */
  descriptors?: readonly number[] | undefined;
  /** Criu shares our session and terminal: for shell jobs. */
  keepTerminal?: boolean | undefined;
  /** Watches criu from its start; returns what ends that. */
  watch?: ((criuPid: number) => () => void) | undefined;
}

export interface CriuResult {
  criuPid: number;
  /** `undefined` when criu was ended by a signal, timed out, or was interrupted. */
  exitCode: number | undefined;
  /** When criu was started, in milliseconds of the monotonic clock. */
  startedMs: number;
  /** From the start of criu to its end. Milliseconds. */
  durationMs: number;
  /** Read when it is asked for: after a success nobody does, and a log may have tens of thousands of lines. */
  readonly log: CriuLogSummary;
  /** What criu wrote to stderr, before it had a log. */
  stderr: string;
  status: OpStatus | undefined;
  /** Why criu returned no exit code. */
  error: unknown;
}

/** We read the status file, and a standby does not wait at all. */
const whoWaits = { CRIU_CUDA_WAIT: process.env.CRIU_CUDA_WAIT ?? '0' };

/** Marks a process as failed if it was to take its memory and no result was ever reported. */
function lostTask(task: CudaTask, attaching: readonly number[]): CudaTask {
  if (!attaching.includes(task.pid)) return task;
  return { ...task, outcome: 'failed', reason: 'the watcher ended before the process had its device memory' };
}

/** Whether the processes were restored and have not taken their device memory yet. */
export const isStandby = ({ attaching, tasks }: OpStatus): boolean =>
  attaching.length > 0 && tasks.every(({ outcome }) => outcome !== 'failed');

/** @returns `false` when it is still running, and going to write more */
async function watcherEnds(
  pid: number,
  isLast: boolean,
  options: { signal?: AbortSignal | undefined },
): Promise<boolean> {
  // the pid of one that was replaced may belong to another process by now
  if (!isLast && !watcherName.test(readStat(pid)?.comm ?? '')) return true;
  return (await waitForExit(pid, { timeoutMs: WATCHER_TIMEOUT_MS, ...options })) !== undefined;
}

export interface CollectOptions {
  /** Leave the processes of a standby waiting for their memory, and keep the file. */
  leaveStopped?: boolean | undefined;
  /** Stops waiting. */
  signal?: AbortSignal | undefined;
}

/**
 * Waits for the watcher, which ends when every process has its memory; reads and removes the status file.
 * @returns `undefined` when the plugin wrote none: criu found no CUDA process
 */
export async function collectStatus(
  runDir: string,
  criuPid: number,
  options: CollectOptions = {},
): Promise<OpStatus | undefined> {
  const { leaveStopped = false, ...wait } = options;
  const first = readOpStatus(runDir, criuPid);
  if (!first) {
    removeOpStatus(runDir, criuPid); // criu ended, or the disk was full, before its first line
    return undefined;
  }
  if (leaveStopped && isStandby(first)) return first;
  // a watcher that is killed may have a second one, which starts another, so each look may find more of them
  const seen = new Set<number>();
  let status: OpStatus | undefined = first;
  for (;;) {
    const next = status?.watcherPids.find((pid) => !seen.has(pid));
    if (next === undefined) break;
    seen.add(next);
    if (!(await watcherEnds(next, next === status?.watcherPids.at(-1), wait))) return first;
    status = readOpStatus(runDir, criuPid);
  }
  archiveOpStatus(runDir, criuPid);
  if (!status) return undefined;
  const { tasks, attaching } = status;
  return { ...status, tasks: tasks.map((task) => lostTask(task, attaching)) };
}

function execOptions(run: CriuRun, onSpawn: (pid: number) => void): ExecOptions {
  return {
    timeoutMs: run.timeoutMs ?? DEFAULT_CRIU_TIMEOUT_MS,
    ownGroup: run.keepTerminal !== true,
    // a process that is being restored is in criu's group at first, and would get the signal when it runs
    asksGroup: run.stage === 'dump',
    ...(run.keepTerminal === true ? { stdin: 'inherit' } : {}),
    descriptors: run.descriptors,
    // criu's images would be readable for all, in a directory that was there before
    ...(run.stage === 'dump' ? { umask: 0o077 } : {}),
    env: run.stage === 'restore' ? { ...whoWaits, ...run.env } : run.env,
    signal: run.signal,
    gracePeriod: run.gracePeriod,
    keepSuccess: true,
    onSpawn,
  };
}

/** CRIU's log. */
export const logOf = (run: CriuRun): string => join(run.workDir, run.stage === 'dump' ? dumpLog : restoreLog);

/** Removes the logs of an earlier run, which must not be mistaken for those of this one. */
function removeLeftOvers(run: CriuRun): void {
  for (const path of [logOf(run), join(run.workDir, `stats-${run.stage}`)]) removeFile(path);
}

/**
 * Runs criu to its end. A failed criu is a result, not an error, because its exit code says too little. The caller
 * should be a subreaper, so that it collects the watcher.
 * @throws `CommandError` only when criu could not be started at all
 * @throws `UsageError` criu could not write its log
 */
export async function runCriu(run: CriuRun): Promise<CriuResult> {
  const started: { pid?: number | undefined; stopWatching?: (() => void) | undefined } = {};
  const ended: { exitCode?: number | undefined; error?: unknown; stderr?: string | undefined } = {};
  checkWritable(run.workDir, 'choose a directory for logs with --work-dir');
  removeLeftOvers(run);
  const startedMs = monotonicMs();
  try {
    const options = execOptions(run, (pid) => {
      started.pid = pid;
      started.stopWatching = run.watch?.(pid);
    });
    const { exitCode, stderr } = await execResult(run.criu, run.args, options);
    Object.assign(ended, { exitCode, stderr });
  } catch (error) {
    if (started.pid === undefined) throw error;
    ended.error = error;
    if (error instanceof CommandError) ended.stderr = error.facts.tail;
  }
  const durationMs = monotonicMs() - startedMs;
  // nothing has to wait for processes that end a moment after criu
  collectBackgroundProcesses().catch(() => undefined);
  const criuPid = started.pid ?? 0;
  const status = await collectStatus(run.runDir, criuPid, {
    leaveStopped: run.leaveStopped === true && ended.exitCode === 0,
  }).finally(() => started.stopWatching?.());
  if (!status) collectBackgroundProcesses(watcherName).catch(() => undefined);
  let log: CriuLogSummary | undefined;
  return {
    criuPid,
    exitCode: ended.exitCode,
    startedMs,
    durationMs,
    error: ended.error,
    get log() {
      log ??= readCriuLog(logOf(run));
      return log;
    },
    stderr: tailOf(ended.stderr ?? ''),
    status,
  };
}

/** The facts about a run that go into an error. */
export function criuFacts(run: CriuRun, result: CriuResult): CommandFacts {
  const facts = result.error instanceof CommandError ? result.error.facts : undefined;
  return {
    command: [run.criu, ...run.args].join(' '),
    exitCode: result.exitCode,
    signal: facts?.signal,
    timedOut: facts?.timedOut ?? false,
    durationMs: result.durationMs,
    tail: result.log.tail || result.stderr,
  };
}
