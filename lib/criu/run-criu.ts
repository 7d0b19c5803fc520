// SPDX-License-Identifier: MIT
/**
 * One run of criu, from its start until everything that writes about it has
 * ended: criu itself and the plugin's watcher.
 * @module
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, type CommandFacts } from '../errors.ts';
import { execResult, tailOf, type ExecOptions } from '../exec.ts';
import { collectBackgroundProcesses, waitForExit } from '../process/index.ts';
import { dumpLog, restoreLog } from './arguments.ts';
import { readCriuLog, type CriuLogSummary } from './log.ts';
import { readOpStatus, removeOpStatus, type CudaTask, type OpStatus } from './op-status.ts';

/** Dumping a terabyte takes a while; a hang must not last for ever. */
export const DEFAULT_CRIU_TIMEOUT_MS = 3_600_000;
/** The watcher may have to bring device memory back. */
const WATCHER_TIMEOUT_MS = 600_000;

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
  /** The tasks stand still afterwards, and take their device memory when they are woken. */
  leaveStopped?: boolean | undefined;
  /** Criu shares our session and terminal: for shell jobs. */
  keepTerminal?: boolean | undefined;
}

export interface CriuResult {
  criuPid: number;
  /** `undefined` when criu was ended by a signal, timed out, or was interrupted. */
  exitCode: number | undefined;
  /** From the start of criu to its end. Milliseconds. */
  durationMs: number;
  log: CriuLogSummary;
  /** What criu said before it had a log. */
  stderr: string;
  status: OpStatus | undefined;
  /** Why criu gave no exit code. */
  error: unknown;
}

/** Whoever nobody has heard of since it was to take its memory does not count as restored. */
function lostTask(task: CudaTask, attaching: readonly number[]): CudaTask {
  if (!attaching.includes(task.pid)) return task;
  return { ...task, outcome: 'failed', reason: 'the watcher ended before it had its device memory' };
}

/** Its processes were restored, and are still to take their device memory. */
export const isStandby = ({ attaching, tasks }: OpStatus): boolean =>
  attaching.length > 0 && tasks.every(({ outcome }) => outcome !== 'failed');

export interface CollectOptions {
  /** Processes that wait for their memory go on doing so, and the file stays. */
  leaveStopped?: boolean | undefined;
  /** Gives up waiting. */
  signal?: AbortSignal | undefined;
}

/**
 * Waits for the watcher, which ends when every process has its memory; reads and removes the status file.
 * @returns `undefined` when the plugin wrote none: criu met no CUDA process
 */
export async function collectStatus(
  runDir: string,
  criuPid: number,
  options: CollectOptions = {},
): Promise<OpStatus | undefined> {
  const { leaveStopped = false, ...wait } = options;
  const first = await readOpStatus(runDir, criuPid);
  if (!first || (leaveStopped && isStandby(first))) return first;
  if (first.watcherPid !== undefined) {
    const ended = await waitForExit(first.watcherPid, { timeoutMs: WATCHER_TIMEOUT_MS, ...wait });
    if (ended === undefined) return first; // it is still at work, and has more to say
  }
  try {
    const status = await readOpStatus(runDir, criuPid);
    return status && { ...status, tasks: status.tasks.map((task) => lostTask(task, status.attaching)) };
  } finally {
    removeOpStatus(runDir, criuPid);
  }
}

function execOptions(run: CriuRun, onSpawn: (pid: number) => void): ExecOptions {
  return {
    timeoutMs: run.timeoutMs ?? DEFAULT_CRIU_TIMEOUT_MS,
    ownGroup: run.keepTerminal !== true,
    ...(run.keepTerminal === true ? { stdin: 'inherit' } : {}),
    env: run.env,
    signal: run.signal,
    onSpawn,
  };
}

const logOf = (run: CriuRun): string => join(run.workDir, run.stage === 'dump' ? dumpLog : restoreLog);

/** What an earlier run left must not be taken for what this one says. */
function removeLeftOvers(run: CriuRun): void {
  for (const path of [logOf(run), join(run.workDir, `stats-${run.stage}`)]) rmSync(path, { force: true });
}

/**
 * Runs criu to its end. A failing criu is a result, not an error, because
 * there is more to say about it than its exit code; only criu that could not be
 * started at all throws. The caller should be a subreaper, so that the watcher
 * is collected.
 */
export async function runCriu(run: CriuRun): Promise<CriuResult> {
  const started: { pid?: number | undefined } = {};
  const ended: { exitCode?: number | undefined; error?: unknown; stderr?: string | undefined } = {};
  removeLeftOvers(run);
  const start = performance.now();
  try {
    const options = execOptions(run, (pid) => {
      started.pid = pid;
    });
    const { exitCode, stderr } = await execResult(run.criu, run.args, options);
    Object.assign(ended, { exitCode, stderr });
  } catch (error) {
    if (started.pid === undefined) throw error;
    ended.error = error;
    if (error instanceof CommandError) ended.stderr = error.facts.tail;
  }
  const durationMs = performance.now() - start;
  // what ends a moment after criu, nobody waits for
  collectBackgroundProcesses().catch(() => undefined);
  const criuPid = started.pid ?? 0;
  return {
    criuPid,
    exitCode: ended.exitCode,
    durationMs,
    error: ended.error,
    log: readCriuLog(logOf(run)),
    stderr: tailOf(ended.stderr ?? ''),
    status: await collectStatus(run.runDir, criuPid, {
      leaveStopped: run.leaveStopped === true && ended.exitCode === 0,
    }),
  };
}

/** Facts about a run, for an error. */
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
