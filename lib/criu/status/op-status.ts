// SPDX-License-Identifier: MIT
/**
 * The plugin's status file: the outcome for each CUDA process of one run of criu. Criu exits with 0 even if a device
 * restore failed; only this file says so.
 * @module
 */
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { removeFile } from '../../directory.ts';
import * as v from 'valibot';
import { isErrno } from '../../errno.ts';
import { checkRunDir } from '../../run-dir.ts';
import { amount, whole } from '../../number-shapes.ts';
import { CriuStatusError } from '../error.ts';
import { stepLine, stepOf, type DriverStep } from './driver-step.ts';
import { moveToHistory } from './op-history.ts';
import { readTimeline, type Timeline } from './timeline.ts';
import {
  copyFields,
  fallbackLine,
  memoryLine,
  taskMemory,
  type Fallback,
  type TaskMemory,
} from './task-memory.ts';

const pid = whole(1);
const milliseconds = amount;

const beginLine = v.object({
  event: v.literal('begin'),
  stage: v.picklist(['dump', 'restore']),
  criu: pid,
  version: v.string(),
  variant: v.string(),
  plugin: v.optional(v.string()),
});
const taskLine = v.object({
  event: v.literal('task'),
  pid,
  outcome: v.picklist(['dumped', 'restored', 'failed', 'rolled-back']),
  prior: v.picklist(['running', 'locked', 'checkpointed']),
  reason: v.optional(v.string()),
});
const originLine = v.object({
  event: v.literal('origin'),
  time: milliseconds,
  images: v.string(),
  caller: v.string(),
});
const processLine = v.object({ event: v.literal('process'), pid, name: v.string(), cgroup: v.string() });
const failureLine = v.object({ event: v.literal('failure'), reason: v.string() });
const watcherLine = v.object({ event: v.literal('watcher'), pid });
const poolLine = v.object({ event: v.literal('pool'), pid });
const operation = whole(0);
const evictingLine = v.object({ event: v.literal('evicting'), pid, operation });
const evictLine = v.object({ event: v.literal('evict'), pid, result: whole(), ...copyFields });
const attachingLine = v.object({ event: v.literal('attaching'), pid, operation: v.optional(operation) });
const attachLine = v.object({
  event: v.literal('attach'),
  pid,
  result: whole(),
  ms: milliseconds,
  reason: v.string(),
  source: v.optional(v.string()),
  ...copyFields,
});
const remapLine = v.object({
  event: v.literal('remap'),
  pid,
  copy_ms: milliseconds,
  map_ms: milliseconds,
});
const lateFailedLine = v.object({ event: v.literal('late_failed'), pid });
const endLine = v.object({
  event: v.literal('end'),
  stage: v.picklist(['dump', 'restore']),
  ret: whole(),
  driver_ms: milliseconds,
  hook_ms: milliseconds,
});

const lineShapes = {
  begin: beginLine,
  step: stepLine,
  task: taskLine,
  watcher: watcherLine,
  pool: poolLine,
  evicting: evictingLine,
  evict: evictLine,
  attaching: attachingLine,
  attach: attachLine,
  remap: remapLine,
  late_failed: lateFailedLine,
  memory: memoryLine,
  fallback: fallbackLine,
  origin: originLine,
  process: processLine,
  failure: failureLine,
  end: endLine,
};
type Line = v.InferOutput<(typeof lineShapes)[keyof typeof lineShapes]>;
const anyLine = v.object({ event: v.string() });

/** The outcome for one CUDA process. */
export interface CudaTask {
  /** Pid in the namespace of criu. */
  pid: number;
  /** What became of it. */
  outcome: 'dumped' | 'restored' | 'failed' | 'rolled-back';
  /** The driver state in which the dump found it. */
  prior: 'running' | 'locked' | 'checkpointed';
  /** Why it failed. */
  reason?: string | undefined;
}

const taskOf = ({ pid, outcome, prior, reason }: v.InferOutput<typeof taskLine>): CudaTask => ({
  pid,
  outcome,
  prior,
  reason,
});

const fallbackOf = ({ pid: one, from, to, reason }: v.InferOutput<typeof fallbackLine>): Fallback => ({
  pid: one,
  from,
  to,
  reason,
});

/** A process whose device memory is the pool's business. */
export interface PoolTask {
  pid: number;
  /** As in the run directory; `undefined` in a file of an earlier version. */
  operation: number | undefined;
  /** `out`: to files; `saved`: it is in files, the pool keeps it until criu has ended; `in`: back to the process. */
  way: 'out' | 'saved' | 'in';
}

/** Who started a run, and when. */
export interface OpOrigin {
  /** Milliseconds since 1970. */
  timeMs: number;
  /** Images directory. */
  imagesDir: string;
  /** Command line of the program that started criu. */
  caller: string;
}

/** A CUDA process of a run. */
export interface OpProcess {
  /** Pid in the namespace of criu. */
  pid: number;
  /** Its name. */
  name: string;
  /** Content of `/proc/PID/cgroup`, lines joined by spaces. */
  cgroup: string;
}

export interface OpStatus {
  version: string;
  variant: string;
  /** Path from which criu loaded the plugin; `undefined` in a file of an earlier version. */
  plugin: string | undefined;
  stage: 'dump' | 'restore';
  steps: DriverStep[];
  /** `undefined` in a file of an earlier version. */
  origin: OpOrigin | undefined;
  /** The CUDA processes. */
  processes: OpProcess[];
  /** Why the run failed, as far as the plugin knows: empty if CRIU itself did; `undefined`: it has not failed. */
  failure: string | undefined;
  /** Processes that were returned to their prior state after criu's part was complete: a script or criu has failed. */
  isUndone: boolean;
  /** The latest outcome of each process. */
  tasks: CudaTask[];
  /** The watchers, which take over when criu has ended and may still append to the file. The earlier may have ended. */
  watcherPids: number[];
  /** The daemon, or the last helper, that moved device memory. */
  poolPid: number | undefined;
  /** Processes that have not taken their device memory yet. */
  attaching: number[];
  /** Processes whose memory the pool was last told to move. */
  inPool: PoolTask[];
  /** What the memory of each process went through. */
  memory: TaskMemory[];
  /** What could not do its work, and what did it instead. */
  fallbacks: Fallback[];
  /** Copying host memory to page files and mapping it from there, all processes. */
  hostMemoryMs: number;
  /** The driver could not restore a process while its late memory was being filled. */
  hasLateFailed: boolean;
  /** Missing when criu died before the plugin's last hook. */
  end: { ret: number; driverMs: number; hookMs: number } | undefined;
  /** When what happened. */
  timeline: Timeline;
}

/** A line of the file, and what it says; events of a newer plugin say nothing. */
interface ParsedLine {
  value: unknown;
  line: Line | undefined;
}

function parseLine(words: string, nr: number): ParsedLine {
  try {
    const value: unknown = JSON.parse(words);
    const { event } = v.parse(anyLine, value);
    const isKnown = Object.hasOwn(lineShapes, event);
    return { value, line: isKnown ? v.parse(lineShapes[event as Line['event']], value) : undefined };
  } catch (error) {
    throw new CriuStatusError('ERR_CRIU_STATUS', `line ${nr} of the plugin's status file is not valid`, {
      cause: error,
      hint: `it reads: ${words.slice(0, 200)}`,
    });
  }
}

/** What the next line changes. */
function noteMove(tasks: Map<number, PoolTask>, one: Line): void {
  switch (one.event) {
    case 'evicting':
      tasks.set(one.pid, { pid: one.pid, operation: one.operation, way: 'out' });
      break;
    case 'evict': {
      const task = tasks.get(one.pid);
      if (one.result !== 0) tasks.delete(one.pid);
      else if (task) tasks.set(one.pid, { ...task, way: 'saved' });
      break;
    }
    case 'attaching':
      tasks.set(one.pid, { pid: one.pid, operation: one.operation, way: 'in' });
      break;
    case 'attach':
      tasks.delete(one.pid);
      break;
    default:
      break;
  }
}

function poolTasksOf(lines: readonly Line[]): PoolTask[] {
  const tasks = new Map<number, PoolTask>();
  for (const one of lines) noteMove(tasks, one);
  return [...tasks.values()];
}

function originOf(lines: readonly Line[]): OpOrigin | undefined {
  const found = lines.find((one) => one.event === 'origin');
  return found && { timeMs: found.time, imagesDir: found.images, caller: found.caller };
}

function isUndone(lines: readonly Line[]): boolean {
  const end = lines.findIndex((one) => one.event === 'end');
  return end >= 0 && lines.slice(end).some((one) => one.event === 'task' && one.outcome === 'rolled-back');
}

/**
 * Parses the status file. An incomplete last line was being written when criu was killed, and is ignored.
 * @returns `undefined` when not even the first event was written
 */
export function parseOpStatus(contents: string): OpStatus | undefined {
  const parsed = contents
    .slice(0, contents.lastIndexOf('\n') + 1)
    .split('\n')
    .flatMap((one, index) => (one === '' ? [] : [parseLine(one, index + 1)]));
  const lines = parsed.flatMap(({ line }) => line ?? []);
  const first = lines.find((one) => one.event === 'begin');
  if (!first) return undefined;
  const last = lines.find((one) => one.event === 'end');
  const tasks = new Map<number, CudaTask>();
  const attaching = new Set<number>();
  for (const one of lines) {
    if (one.event === 'task') tasks.set(one.pid, taskOf(one));
    if (one.event === 'attaching') attaching.add(one.pid);
    if (one.event !== 'attach') continue;
    attaching.delete(one.pid);
    const task = tasks.get(one.pid);
    // the plugin kills a process that cannot get its memory, and has said why before the pool notices
    if (task && task.outcome !== 'failed' && one.result !== 0)
      tasks.set(one.pid, { ...task, outcome: 'failed', reason: one.reason });
  }
  return {
    version: first.version,
    variant: first.variant,
    plugin: first.plugin,
    stage: first.stage,
    origin: originOf(lines),
    processes: lines.flatMap((one) =>
      one.event === 'process' ? [{ pid: one.pid, name: one.name, cgroup: one.cgroup }] : [],
    ),
    failure: lines.find((one) => one.event === 'failure')?.reason,
    isUndone: isUndone(lines),
    steps: lines.flatMap((one) => (one.event === 'step' ? [stepOf(one)] : [])),
    tasks: [...tasks.values()],
    watcherPids: lines.flatMap((one) => (one.event === 'watcher' ? [one.pid] : [])),
    poolPid: lines.findLast((one) => one.event === 'pool')?.pid,
    attaching: [...attaching],
    inPool: poolTasksOf(lines),
    memory: taskMemory(
      lines.filter((one) => one.event === 'memory'),
      first.stage === 'dump'
        ? lines.filter((one) => one.event === 'evict')
        : lines.filter((one) => one.event === 'attach'),
      first.stage === 'dump' ? new Set() : attaching,
    ),
    fallbacks: lines.flatMap((one) => (one.event === 'fallback' ? [fallbackOf(one)] : [])),
    hostMemoryMs: lines.reduce((sum, one) => sum + (one.event === 'remap' ? one.copy_ms + one.map_ms : 0), 0),
    hasLateFailed: lines.some((one) => one.event === 'late_failed'),
    end: last && { ret: last.ret, driverMs: last.driver_ms, hookMs: last.hook_ms },
    timeline: readTimeline(parsed.map(({ value }) => value)),
  };
}

const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Programs in more than one pid namespace may share a run directory. */
const namespaceOf = (): number => statSync('/proc/self/ns/pid').ino;

/** Path of the status file of a criu in this program's pid namespace. */
export function opStatusPath(runDir: string, criuPid: number): string {
  return join(runDir, `op-${criuPid}-${namespaceOf()}.jsonl`);
}

/** The pid of each criu in this program's pid namespace that has a status file. */
export function listOpStatus(runDir: string): number[] {
  const names = existsSync(runDir) ? readdirSync(runDir) : [];
  return names
    .map((name) => Number(/^op-(\d+)-/.exec(name)?.[1]))
    .filter((criuPid, index) => opStatusPath('', criuPid) === names[index]);
}

/**
 * Reads the status file of one run.
 * @throws `EnvironmentError` when other users may write to the run directory
 * @returns `undefined` when criu found no CUDA process, or the plugin was not loaded
 */
export function readOpStatus(runDir: string, criuPid: number): OpStatus | undefined {
  let file: number | undefined;
  try {
    checkRunDir(runDir);
    file = openSync(opStatusPath(runDir, criuPid), readFlags);
    return parseOpStatus(readFileSync(file, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** The same; `undefined` also for a file that cannot be read, or is of another version. */
export function tryReadOpStatus(runDir: string, criuPid: number): OpStatus | undefined {
  try {
    return readOpStatus(runDir, criuPid);
  } catch {
    return undefined;
  }
}

/** Keeps the file of a run that has ended, whose outcome the caller has, for `criu-cuda status`. */
export function archiveOpStatus(runDir: string, criuPid: number): void {
  moveToHistory(runDir, opStatusPath(runDir, criuPid));
}

export function removeOpStatus(runDir: string, criuPid: number): void {
  removeFile(opStatusPath(runDir, criuPid));
}
