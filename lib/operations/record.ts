// SPDX-License-Identifier: MIT
/**
 * One operation, as its status file tells it.
 * @module
 */
import { basename } from 'node:path';
import {
  memoryWarnings,
  type CudaTask,
  type OpOrigin,
  type OpStatus,
  type TaskMemory,
} from '../criu/index.ts';
import { parseContainer } from '../process/index.ts';
import { operationLog } from './criu-log.ts';

/** The container that an operation was about. */
export interface OperationContainer {
  /** `podman`, `docker`, `containerd`, `cri-o`, `kubernetes`, or the runtime that was called. */
  engine: string;
  /** As the engine names it. */
  id: string;
}

/** A CUDA process of an operation. */
export interface OperationProcess {
  /** Pid in the namespace of criu. */
  pid: number;
  /** Its name; `null` in a file of an earlier version. */
  name: string | null;
  /** What became of it; `null`: nothing yet, or criu has ended before. */
  outcome: CudaTask['outcome'] | null;
  /** Why it failed. */
  reason: string | null;
  /** What its memory went through; `null`: not known. */
  memory: TaskMemory | null;
}

/** One dump or restore. */
export interface OperationRecord {
  /** What was done. */
  kind: 'dump' | 'restore';
  /** When it began; milliseconds since 1970. */
  timeMs: number;
  /** `running` until every process has its memory; a dump that left its processes running has `succeeded`. */
  outcome: 'succeeded' | 'failed' | 'running';
  /** Why it failed. */
  reason: string | null;
  /** What to do about it; `null`: not known. */
  hint: string | null;
  /** Path of CRIU's log, of an operation that failed; `null`: it is gone. */
  log: string | null;
  /** Pid of criu. */
  criuPid: number;
  /** Name of the program that started criu: `runc`, `crun`, `criu-cuda`, or `node` for a program with the library; `null`: not known. */
  caller: string | null;
  /** `null` outside of containers, or when it is not known. */
  container: OperationContainer | null;
  /** Images directory; `null` in a file of an earlier version. */
  imagesDir: string | null;
  /** Variant of the plugin. */
  variant: string;
  /** Version of the plugin. */
  version: string;
  /** The CUDA processes. */
  processes: OperationProcess[];
  /** What was slower than it could be, and why. */
  warnings: string[];
}

/** What else is known about a file. */
export interface FileFacts {
  /** Pid of criu, from the file's name. */
  criuPid: number;
  /** When its last line was written; milliseconds since 1970. */
  modifiedMs: number;
  /** Whether criu, or its watcher, is alive. */
  isAlive: boolean;
}

/** What Node runs when `criu-cuda` is typed; paths may have spaces. */
const ownCommand = /(?:^|\/)node (?:.*\/)?(?:criu-cuda|dist\/cli\.[cm]?js)(?: |$)/;

const runtimes = new Set(['runc', 'crun', 'youki']);

const wordsOf = (origin: OpOrigin | undefined): string[] => origin?.caller.split(' ').filter(Boolean) ?? [];

function callerOf(origin: OpOrigin | undefined): string | null {
  const [program] = wordsOf(origin);
  if (program === undefined) return null;
  return ownCommand.test(origin?.caller ?? '') ? 'criu-cuda' : basename(program);
}

function containerOf({ origin, processes }: OpStatus): OperationContainer | null {
  for (const { cgroup } of processes) {
    const container = parseContainer(cgroup.replaceAll(' ', '\n'));
    if (container) return { engine: container.engine, id: container.id };
  }
  const caller = callerOf(origin);
  const id = wordsOf(origin).at(-1);
  return caller !== null && runtimes.has(caller) && id !== undefined ? { engine: caller, id } : null;
}

function processesOf({ processes, tasks, memory }: OpStatus): OperationProcess[] {
  const pids = [...new Set([...processes, ...tasks, ...memory].map(({ pid }) => pid))];
  return pids.map((pid) => {
    const task = tasks.find((one) => one.pid === pid);
    return {
      pid,
      name: processes.find((one) => one.pid === pid)?.name ?? null,
      outcome: task?.outcome ?? null,
      reason: task?.reason ?? null,
      memory: memory.find((one) => one.pid === pid) ?? null,
    };
  });
}

const CRIU_FAILED = 'CRIU has failed; its log says why';

function failureOf(status: OpStatus, isAlive: boolean): string | undefined {
  const { tasks, failure, end, attaching, isUndone } = status;
  const failed = tasks.filter(({ outcome }) => outcome === 'failed');
  if (failed.length > 0)
    return failed.map(({ pid, reason }) => `process ${pid}: ${reason ?? 'unknown reason'}`).join('; ');
  if (failure !== undefined) return failure === '' ? CRIU_FAILED : failure;
  if (end !== undefined && end.ret !== 0) return CRIU_FAILED;
  if (isUndone) return 'criu or one of its scripts failed after the dump; the processes run again';
  if (isAlive) return undefined;
  if (end === undefined) return 'criu ended before it was complete';
  return attaching.length > 0 ? 'the watcher ended before the process had its device memory' : undefined;
}

/** Sentences about memory that took the slow way because a process has no interceptor. */
function interceptorWarnings(memory: readonly TaskMemory[]): string[] {
  return memory.flatMap(({ pid, pool, reason = '', driverBytes }) =>
    pool === undefined && driverBytes > 0 && reason.includes('interceptor')
      ? [`device memory of ${pid} went through the driver because ${reason}`]
      : [],
  );
}

/** Puts together what a status file says. */
export function operationRecord(status: OpStatus, facts: FileFacts): OperationRecord {
  const { origin, stage, variant, version, end, attaching, memory, fallbacks } = status;
  const isComplete = end !== undefined && attaching.length === 0;
  const failure = failureOf(status, facts.isAlive && !isComplete);
  const log = failure === undefined ? undefined : operationLog(status, facts.modifiedMs);
  const reason = failure === CRIU_FAILED ? (log?.summary.message ?? failure) : failure;
  return {
    kind: stage,
    timeMs: origin?.timeMs ?? facts.modifiedMs,
    outcome: reason === undefined ? (isComplete ? 'succeeded' : 'running') : 'failed',
    reason: reason ?? null,
    hint: log?.summary.hint ?? null,
    log: log?.path ?? null,
    criuPid: facts.criuPid,
    caller: callerOf(origin),
    container: containerOf(status),
    imagesDir: origin?.imagesDir ?? null,
    variant,
    version,
    processes: processesOf(status),
    warnings: [...interceptorWarnings(memory), ...memoryWarnings(memory, fallbacks)],
  };
}
