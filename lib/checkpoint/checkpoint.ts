// SPDX-License-Identifier: MIT
/**
 * Dumps a process tree, including its device memory, with criu and the plugin. When the dump fails, the plugin rolls it
 * back.
 * @module
 */
import {
  checkOperationOptions,
  criuOptions,
  dumpArguments,
  dumpPhases,
  readDumpStats,
  resolveOperation,
  runCriu,
  type CriuResult,
  type CriuRun,
  type CudaTask,
  type DumpStats,
  type Operation,
  type OperationOptions,
  type Phase,
} from '../criu/index.ts';
import {
  becomeSubreaper,
  checkPid,
  describeProcess,
  isAlive,
  readStat,
  readProcessTree,
  waitForExit,
  waitUntilCollected,
  watchProcess,
  type WatchedProcess,
} from '../process/index.ts';
import { CheckpointError, checkpointError } from './error.ts';
import { hasCheckpoint, imagesBytes, keepImages, prepareImagesDir, rollBackImages } from './images-dir.ts';

/** What to dump, and into which directory. */
export interface CheckpointOptions extends OperationOptions {
  /** Root of the process tree. */
  pid: number;
  /** Whether the process keeps running after the dump. @default false */
  leaveRunning?: boolean | undefined;
  /** Whether to replace an existing checkpoint in the images directory, once the new one is complete. @default false */
  force?: boolean | undefined;
}

/** A complete checkpoint. */
export interface CheckpointResult {
  /** Root of the process tree. */
  pid: number;
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
  /** Messages for the user about what may prevent a restore. */
  warnings: string[];
}

/** How long a killed process may take to free its memory. */
const EXIT_TIMEOUT_MS = 60_000;
const COLLECT_MS = 5000;
/** How long a killed process may still be visible. */
const KILLED_MS = 1000;

function refuse(code: CheckpointError['code'], message: string, hint: string): never {
  throw new CheckpointError(code, message, { hint });
}

/**
 * Refuses a process that cannot be checkpointed.
 * @returns whether the root belongs to a session that is not dumped with it
 */
function checkTarget(pid: number): boolean {
  checkPid(pid);
  const stat = readStat(pid);
  if (!stat || !isAlive(pid)) {
    const zombie = stat ? ': it has ended, and its parent has not collected it' : '';
    refuse('ERR_CHECKPOINT_NO_PROCESS', `there is no process ${pid}${zombie}`, 'see ps -e');
  }
  if (readProcessTree(pid).some((one) => one.pid === process.pid)) {
    refuse(
      'ERR_CHECKPOINT_OWN_TREE',
      `${pid} is this program or started it`,
      'start the checkpoint from another session',
    );
  }
  return stat.session !== pid;
}

/** Waits until the dumped processes are gone, so that a restore can use their pids. */
async function afterDump(target: WatchedProcess, descendants: readonly number[]): Promise<string[]> {
  const { pid } = target;
  if (!(await target.ended({ timeoutMs: EXIT_TIMEOUT_MS }))) {
    return [`${pid} has not ended ${EXIT_TIMEOUT_MS / 1000} s after its dump`];
  }
  // orphans of a tree that this process started are its own to collect
  await Promise.all(descendants.map((one) => waitForExit(one, { timeoutMs: EXIT_TIMEOUT_MS })));
  const stat = await waitUntilCollected(pid, COLLECT_MS);
  if (stat?.state !== 'Z') return [];
  return [
    `${pid} is a zombie until its parent ${stat.ppid} (${await describeProcess(stat.ppid)}) collects it; it cannot be restored here before that`,
  ];
}

function createRun(options: CheckpointOptions, operation: Operation, shellJob: boolean): CriuRun {
  const { pid, leaveRunning = false, env, signal, timeoutMs } = options;
  return {
    stage: 'dump',
    criu: operation.criu,
    args: dumpArguments({ ...criuOptions(operation, options, shellJob), pid, leaveRunning }),
    workDir: operation.workDir,
    runDir: operation.runDir,
    env,
    signal,
    timeoutMs,
  };
}

function createResult(
  options: CheckpointOptions,
  operation: Operation,
  result: CriuResult,
  stats: DumpStats | undefined,
  warnings: string[],
): CheckpointResult {
  return {
    pid: options.pid,
    imagesDir: operation.imagesDir,
    imageBytes: imagesBytes(operation.imagesDir),
    leaveRunning: options.leaveRunning ?? false,
    durationMs: result.durationMs,
    frozenMs: stats?.frozenMs,
    phases: dumpPhases(result, stats),
    tasks: result.status?.tasks ?? [],
    warnings,
  };
}

/** Dumps into the directory; if the dump fails, the images that were there before are there again. */
async function dump(
  run: CriuRun,
  target: WatchedProcess,
  imagesDir: string,
  force: boolean,
): Promise<CriuResult> {
  prepareImagesDir(imagesDir, force);
  try {
    const result = await runCriu(run);
    if (result.exitCode !== 0) throw checkpointError(target.pid, run, result);
    keepImages(imagesDir);
    return result;
  } catch (error) {
    // a criu killed at the very end has already ended the process: then its images are all that is left, and complete
    const isDumped = hasCheckpoint(imagesDir) && (await target.ended({ timeoutMs: KILLED_MS }));
    (isDumped ? keepImages : rollBackImages)(imagesDir);
    throw error;
  }
}

/**
 * Checkpoints the tree of `pid` into a directory. When the dump fails, the plugin returns the processes to the state
 * they were in, and an earlier checkpoint in the directory is kept.
 * @throws {@link CheckpointError} the checkpoint was refused, or the dump failed
 */
export async function checkpoint(options: CheckpointOptions): Promise<CheckpointResult> {
  const { pid, leaveRunning = false } = options;
  options.signal?.throwIfAborted();
  checkOperationOptions(options);
  const shellJob = checkTarget(pid);
  const operation = await resolveOperation(options);
  const target = watchProcess(pid);
  if (!target) refuse('ERR_CHECKPOINT_NO_PROCESS', `${pid} has just ended`, 'see ps -e');
  const undoSubreaper = becomeSubreaper();
  try {
    const run = createRun(options, operation, shellJob);
    const descendants = readProcessTree(pid).flatMap((one) => (one.pid === pid ? [] : [one.pid]));
    const result = await dump(run, target, operation.imagesDir, options.force ?? false);
    const warnings = leaveRunning ? [] : await afterDump(target, descendants);
    return createResult(options, operation, result, readDumpStats(operation.workDir), warnings);
  } finally {
    target.close();
    undoSubreaper();
  }
}
