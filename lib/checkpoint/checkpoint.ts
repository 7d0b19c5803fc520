// SPDX-License-Identifier: MIT
/**
 * Dumps a process tree, including its device memory, with criu and the plugin. When the dump fails, the plugin rolls it
 * back.
 * @module
 */
import {
  checkOperationOptions,
  checkWorkDir,
  chooseNetworkLock,
  criuOptions,
  dumpArguments,
  dumpPhases,
  dumpTransfer,
  lookAt,
  memoryWarnings,
  readDumpStats,
  readFilesAhead,
  resolveOperation,
  withTrace,
  type CheckResult,
  type CriuResult,
  type CriuRun,
  type CudaTask,
  type DumpArguments,
  type DumpStats,
  type Operation,
  type OperationOptions,
  type Phase,
  type TaskMemory,
  type Trace,
  type UsedPlugin,
} from '../criu/index.ts';
import {
  becomeSubreaper,
  describeProcess,
  residentBytes,
  readMappedFiles,
  sharesMounts,
  readProcessTree,
  waitForExit,
  waitUntilCollected,
  watchProcess,
  watchTransfer,
  type WatchedProcess,
} from '../process/index.ts';
import { CommandError, UsageError } from '../errors.ts';
import { withDriverOf } from '../gpu/index.ts';
import { bytesInMemory, findGeneration, sampleAhead, Samples } from '../kept/index.ts';
import type { ImagesLock } from '../images-lock.ts';
import { findIsolatedTree } from '../isolated/index.ts';
import { checkRights } from '../machine/index.ts';
import { lookWarnings, refusal } from './check.ts';
import { completeImages } from './complete.ts';
import { earlierEnv, earlierWarnings, resolveEarlier } from './earlier.ts';
import { dump } from './dump.ts';
import { throwIfLost } from './error.ts';
import { imagesBytes, lockImagesDir, releaseRoom } from './images-dir.ts';
import { checkpointIsolated } from './isolated.ts';
import { endStartedHelper, helperVariables, type EarlyHelper } from '../pool/index.ts';
import { beginHelper } from './early-helper.ts';
import { checkFilters, checkLimits, findTarget, programOf, refuse, type Target } from './target.ts';
import { actWhileStopped } from './while-stopped.ts';

/** What to dump, and into which directory. */
export interface CheckpointOptions extends OperationOptions {
  /** Root of the process tree, or the `criu-cuda run` that started it. */
  pid: number;
  /** Whether the process keeps running after the dump. @default false */
  leaveRunning?: boolean | undefined;
  /** Whether to replace an existing checkpoint in the images directory, once the new one is complete. @default false */
  force?: boolean | undefined;
  /**
   * Directory of an earlier checkpoint of the process. Device memory with the same bytes is not written again: the new
   * images share files with it, and need no file of it afterwards. What cannot be used of it is a warning.
   */
  prevImagesDir?: string | undefined;
  /**
   * Contents of files that the tree has open or mapped are kept in the images up to this size, in bytes; 0 keeps none.
   * @default 1 GiB, without holes, for what the tree writes on a tmpfs, such as /dev/shm; 64 MiB for other files in memory. On a
   * disk, what the tree may write is kept up to 1 MiB
   */
  keepBytes?: number | undefined;
}

/** A complete checkpoint. */
export interface CheckpointResult {
  /** Root of the process tree. */
  pid: number;
  /** The `criu-cuda run` or `criu-cuda restore` that was named instead of the root; otherwise `undefined`. */
  runPid: number | undefined;
  /** Absolute path of the images directory. */
  imagesDir: string;
  /** Size of the images in bytes. */
  imageBytes: number;
  /** Whether the process keeps running. */
  leaveRunning: boolean;
  /** From the start of criu to its end, in milliseconds; the phases add up to it. */
  durationMs: number;
  /** How long the process was frozen, in milliseconds. `undefined` when CRIU wrote no statistics. */
  frozenMs: number | undefined;
  /** What took how long, in order. */
  phases: Phase[];
  /** The CUDA processes of the tree. */
  tasks: CudaTask[];
  /** The plugin that criu loaded. */
  plugin: UsedPlugin;
  /** What the memory of each process went through, as far as the plugin tells. */
  memory: TaskMemory[];
  /** Messages for the user about what may prevent a restore. */
  warnings: string[];
}

/** How long a killed process may take to free its memory. */
const EXIT_TIMEOUT_MS = 60_000;
/** A parent that waits for its child collects it in this time; a zombie has ended, and the caller need not wait for more. */
const COLLECT_MS = 20;
/**
 * With more of its files in memory, also a tree that is to end is stopped until they are kept, so that an interruption can
 * be heeded: it runs on. With fewer, they are copied in the time in which the kernel frees its memory. Bytes.
 */
const QUICKLY_KEPT_BYTES = 64 * 1024 * 1024;
/**
 * Nothing keeps packets away: the ends of connections inside the tree are all frozen, and the others are closed by a
 * restore.
 */
const unlocked = { method: 'skip', warning: undefined } as const;

/** Waits until the dumped processes are gone, so that a restore can use their pids. */
async function afterDump(target: WatchedProcess, pids: readonly number[]): Promise<string[]> {
  const { pid } = target;
  if (!(await target.ended({ timeoutMs: EXIT_TIMEOUT_MS }))) {
    return [`${pid} has not ended ${EXIT_TIMEOUT_MS / 1000} s after its dump`];
  }
  // orphans of a tree that this process started are its own to collect
  const descendants = pids.filter((one) => one !== pid);
  await Promise.all(descendants.map((one) => waitForExit(one, { timeoutMs: EXIT_TIMEOUT_MS })));
  const stat = await waitUntilCollected(pid, COLLECT_MS);
  if (stat?.state !== 'Z') return [];
  return [
    `${pid} is a zombie until its parent ${stat.ppid} (${await describeProcess(stat.ppid)}) collects it; it cannot be restored here before that`,
  ];
}

/** Refuses a tree that cannot be dumped, with every reason, before criu is started. The plugin looks again. */
async function look(options: CheckpointOptions, operation: Operation): Promise<CheckResult | undefined> {
  const { pid, leaveRunning, env, signal } = options;
  const { libdir, imagesDir } = operation;
  try {
    const found = await lookAt({ libdir, pid, imagesDir, leaveRunning, env, signal });
    if (found?.refused === true) throw refusal(pid, found);
    return found;
  } catch (error) {
    if (error instanceof CommandError) return undefined; // the process may have just ended
    throw error;
  }
}

function createRun(
  options: CheckpointOptions,
  operation: Operation,
  shellJob: boolean,
  lock: ImagesLock,
  more: Pick<DumpArguments, 'networkLock' | 'actionScript'>,
): CriuRun {
  const { pid, leaveRunning = false, env, signal, timeoutMs } = options;
  const unprivileged = process.geteuid?.() !== 0;
  const shared = criuOptions(operation, options, shellJob);
  return {
    stage: 'dump',
    criu: operation.criu,
    args: dumpArguments({ ...shared, pid, leaveRunning, unprivileged, ...more }),
    descriptors: [lock.descriptor],
    workDir: operation.workDir,
    runDir: operation.runDir,
    env,
    signal,
    timeoutMs,
  };
}

/** Reports the bytes of a dump to someone who asked for them. @returns what ends it */
function watchBytes(
  { pid, onProgress }: CheckpointOptions,
  imagesDir: string,
  deviceBytes: number,
): () => void {
  if (!onProgress) return () => undefined;
  return watchTransfer(dumpTransfer(imagesDir, residentBytes(pid) + deviceBytes), onProgress);
}

function createResult(
  options: CheckpointOptions,
  operation: Operation,
  result: CriuResult,
  stats: DumpStats | undefined,
  runPid: number | undefined,
  warnings: string[],
): CheckpointResult {
  return {
    pid: options.pid,
    runPid,
    imagesDir: operation.imagesDir,
    imageBytes: imagesBytes(operation.imagesDir),
    leaveRunning: options.leaveRunning ?? false,
    durationMs: result.durationMs,
    frozenMs: stats?.frozenMs,
    phases: dumpPhases(result, stats),
    tasks: result.status?.tasks ?? [],
    plugin: operation.plugin,
    memory: result.status?.memory ?? [],
    warnings,
  };
}

/**
 * Checkpoints the tree of `pid` into a directory. When the dump fails, the plugin returns the processes to the state
 * they were in, and an earlier checkpoint in the directory is kept.
 * @throws {@link CheckpointError} the checkpoint was refused, or the dump failed
 */
export async function checkpoint(given: CheckpointOptions): Promise<CheckpointResult> {
  given.signal?.throwIfAborted();
  checkOperationOptions(given);
  const options = resolveEarlier(given);
  checkRights('a checkpoint');
  const isolated = findIsolatedTree(programOf(given.pid));
  if (isolated && given.trace !== undefined)
    throw new UsageError(
      `${given.pid} is isolated, and there is no trace of its checkpoint`,
      'omit the trace',
    );
  if (isolated) {
    await endStartedHelper(); // another program makes the dump
    return checkpointIsolated(options, isolated);
  }
  return withTrace(
    'checkpoint',
    given.trace,
    (trace) => checkpointHere(options, trace),
    ({ warnings }) => warnings,
  );
}

async function checkpointHere(given: CheckpointOptions, trace: Trace | undefined): Promise<CheckpointResult> {
  const target = findTarget(given.pid);
  const { pid, pids } = target;
  checkFilters(target);
  checkLimits(target);
  const env = await withDriverOf(given.env, () => readMappedFiles(pids));
  const options = { ...given, pid, env: { ...env, ...earlierEnv(given) } };
  const operation = await resolveOperation(options);
  checkWorkDir(operation, 'name another directory');
  const looking = look(options, operation); // another program, which takes longest
  let helper: EarlyHelper | undefined;
  try {
    helper = await beginHelper(pids, operation, env);
    const withHelper = { ...options, env: { ...options.env, ...helperVariables(helper) } };
    return await checkpointTree(target, withHelper, operation, looking, trace);
  } finally {
    helper?.end();
    await looking.catch(() => undefined);
  }
}

async function checkpointTree(
  { pid, runPid, shellJob, pids: first }: Target,
  options: CheckpointOptions,
  operation: Operation,
  looking: Promise<CheckResult | undefined>,
  trace: Trace | undefined,
): Promise<CheckpointResult> {
  const { leaveRunning = false, force = false } = options;
  // what takes long here is done while the other program looks
  const target = watchProcess(pid);
  const hasOwnMounts = !sharesMounts(pid);
  const isStopped = leaveRunning || (!hasOwnMounts && bytesInMemory(first) > QUICKLY_KEPT_BYTES);
  const found = await looking.catch((error: unknown) => {
    target?.close();
    throw error;
  });
  const keepConnections = options.tcpEstablished === true;
  const networkLock = keepConnections
    ? await chooseNetworkLock(operation.criu, options.extraArgs, options.signal)
    : unlocked;
  if (!target)
    refuse(
      'ERR_CHECKPOINT_NO_PROCESS',
      `${pid} has just ended`,
      'criu-cuda process list shows the CUDA processes',
    );
  const undoSubreaper = becomeSubreaper();
  try {
    const samples = new Samples();
    const complete = {
      ...{ keepConnections, leaveRunning, hasOwnMounts, keepBytes: options.keepBytes, samples },
      generation: findGeneration(pid),
      pids: first,
    };
    const findTree = (): void => {
      const now = readProcessTree(pid).map((one) => one.pid);
      if (now.length > 0) complete.pids = now;
    };
    const watch = (): (() => void) => {
      findTree(); // criu is being started, and has not stopped them yet
      const stops = [
        watchBytes(options, operation.imagesDir, found?.deviceBytes ?? 0),
        readFilesAhead(operation.imagesDir),
        ...(hasOwnMounts ? [] : [sampleAhead(samples, complete.pids)]),
      ];
      return () => {
        for (const stop of stops) stop();
      };
    };
    let completed: string[] | undefined;
    const { imagesDir, workDir } = operation;
    const lock = lockImagesDir(imagesDir);
    let result: CriuResult;
    const completeHere = (isRunning: boolean, signal?: AbortSignal): Promise<string[]> =>
      completeImages(imagesDir, { ...complete, isRunning, signal });
    try {
      const stopped = isStopped
        ? await actWhileStopped(async (signal) => {
            releaseRoom(imagesDir);
            findTree(); // a process that it has started since is none that shares its files
            completed = await completeHere(false, signal);
          })
        : undefined;
      const script = { networkLock: networkLock?.method, actionScript: stopped?.script };
      const run = { ...createRun(options, operation, shellJob, lock, script), watch };
      result = await dump(run, target, { imagesDir, force, stopped, trace });
      if (leaveRunning) throwIfLost(pid, run, result, imagesDir);
      completed ??= await completeHere(leaveRunning);
    } finally {
      lock.release();
    }
    const { memory = [], fallbacks = [] } = result.status ?? {};
    const warnings = [
      ...operation.notes,
      ...(lock.warning === undefined ? [] : [lock.warning]),
      ...memoryWarnings(memory, fallbacks),
      ...earlierWarnings(options, memory),
      ...(found ? lookWarnings(found) : []),
      ...(networkLock?.warning === undefined ? [] : [networkLock.warning]),
      ...completed,
      ...(leaveRunning ? [] : await afterDump(target, complete.pids)),
    ];
    return createResult(options, operation, result, readDumpStats(workDir), runPid, warnings);
  } finally {
    target.close();
    undoSubreaper();
  }
}
