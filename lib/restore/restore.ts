// SPDX-License-Identifier: MIT
/**
 * Restores a process tree, including its device memory, with criu and the plugin. This process becomes a subreaper and
 * so the parent of the restored processes: it notices when they end, and collects them.
 * @module
 */
import { join, resolve } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import {
  checkOperationOptions,
  collectStatus,
  criuOptions,
  isStandby,
  memoryWarnings,
  readRestoreStats,
  restoreArguments,
  restorePhases,
  restoreTransfer,
  runCriu,
  withTrace,
  type CriuResult,
  type CriuRun,
  type CudaTask,
  type Operation,
  type OperationOptions,
  type Phase,
  type TaskMemory,
  type Trace,
  type UsedPlugin,
} from '../criu/index.ts';
import {
  applySteps,
  endGeneration,
  readOrigin,
  writeGeneration,
  type WrittenGeneration,
} from '../kept/index.ts';
import { UsageError } from '../errors.ts';
import { checkRights } from '../machine/index.ts';
import {
  becomeSubreaper,
  killTree,
  isAlive,
  isDescendant,
  killTreeNow,
  markRestored,
  waitForExit,
  waitUntilStopped,
  type ExitStatus,
  type WaitOptions,
  watchTransfer,
} from '../process/index.ts';
import { RestoreError, restoreError, succeeded } from './error.ts';
import { wake, type WakeOptions, type WakeResult } from './wake.ts';
import { againWithoutLate } from './late-memory.ts';
import { joinOutsidePipes, type JoinedPipes } from './outside-pipes.ts';
import { explainPostRestore, postRestoreArguments } from './post-restore.ts';
import { explainPort, freeKeptPorts } from './port-taken.ts';
import { restoreIsolated, type Isolation, type IsolationOptions } from './isolated.ts';
import { checkPidsFree, readRestorableImages, type RestorableImages } from './images.ts';
import { chooseImages, noTerminal } from './without-terminal.ts';
import { helperVariables, type EarlyHelper } from '../pool/index.ts';
import { checkRestored, readPidFile } from './outcome.ts';
import { prepareRestore, type Prepared } from './prepare.ts';

/** The kernel stops a task only when it next runs. Milliseconds. */
const STOP_MS = 1000;

/** What to restore, and how. */
export interface RestoreOptions extends OperationOptions {
  /**
   * Leave the tree stopped until {@link RestoredProcess.wake}: a standby. Meanwhile a pool loads the device memory that
   * bypasses CRIU's pages, and keeps it until then.
   * @default false
   */
  leaveStopped?: boolean | undefined;
  /**
   * File to which the program's output is appended if it went into a pipe to a process outside its tree.
   * @default the caller's own stdout and stderr
   */
  log?: string | undefined;
  /** Files that may have changed since the dump and are left as they are. @default a file that has changed is refused */
  keepShared?: readonly string[] | undefined;
  /**
   * A command for a shell that runs when the tree is restored, before its processes run. It has CRIU_CUDA_PID, the root
   * task, CRIU_CUDA_IMAGES_DIR, CRIU_CUDA_GENERATION and CRIU_CUDA_GENERATION_ID; if it fails, the restore fails.
   * @default none
   */
  postRestore?: string | undefined;
  /**
   * Restore the tree in pid, mount and IPC namespaces of its own, so that other copies of the checkpoint may run: it has
   * its old pids only inside, and its own files in /dev/shm, /tmp and /run. With `network`, it has a network of its own,
   * too: its ports are free there, and only reached from inside.
   * @default false
   */
  isolated?: boolean | IsolationOptions | undefined;
}

/** What a restore did. */
export interface RestoreResult {
  /** Pid of the root task in this pid namespace. */
  pid: number;
  /** Absolute path of the images directory. */
  imagesDir: string;
  /** From the start of criu to its end, in milliseconds; the phases add up to it. */
  durationMs: number;
  /** What took how long, in order. */
  phases: Phase[];
  /** The CUDA processes of the tree. */
  tasks: CudaTask[];
  /** The plugin that criu loaded. */
  plugin: UsedPlugin;
  /** What the memory of each process went through, as far as the plugin tells. */
  memory: TaskMemory[];
  /** Files that were missing, or in memory and changed, and have their contents of the dump again. */
  broughtBack: string[];
  /** The program wrote into a pipe to a process outside its tree, and writes to this process's stdout or stderr now. */
  sharesOutput: boolean;
  /**
   * How many restores lie between the start of the program and now: what its generation file says. `undefined` if it has
   * none, because `criu-cuda run` has not started it.
   */
  generation?: number | undefined;
  /** Its namespaces; `undefined` unless it was restored isolated. */
  isolated?: Isolation | undefined;
  /** Messages for the user. */
  warnings: string[];
}

/** A restored process tree; a child of this process for as long as this process lives. */
export interface RestoredProcess {
  /** What the restore did. */
  readonly result: RestoreResult;
  /** Waits for the end of the root task. @returns how it ended, `undefined` at the timeout */
  wait(options?: WaitOptions): Promise<ExitStatus | undefined>;
  /** Sends SIGTERM, and SIGKILL to all that is left after `graceMs` milliseconds. @default 5000 */
  kill(graceMs?: number): Promise<void>;
  /** Sends SIGKILL to all, without waiting: for `exit` handlers. */
  killNow(): void;
  /** Resumes a stopped tree and waits until it has its device memory; see {@link wake}. */
  wake(options?: Pick<WakeOptions, 'signal'>): Promise<WakeResult>;
}

/** Reports the bytes of a restore to someone who asked for them. */
function watchOf({ onProgress }: RestoreOptions, { imagesDir, runDir }: Operation): CriuRun['watch'] {
  if (!onProgress) return undefined;
  return (criuPid) =>
    watchTransfer(
      restoreTransfer(imagesDir, runDir, () => criuPid),
      onProgress,
    );
}

function staysStopped({ leaveStopped, extraArgs = [] }: RestoreOptions): boolean {
  return leaveStopped === true || extraArgs.includes('--leave-stopped') || extraArgs.includes('-s');
}

/** CRIU would give the tree its own terminal, and has none. */
const lacksTerminal = ({ shellJob }: RestoreOptions, images: RestorableImages): boolean =>
  (shellJob ?? images.shellJob) && !process.stdin.isTTY;

function createRun(
  options: RestoreOptions,
  operation: Operation,
  pidFile: string,
  images: RestorableImages,
  joined: JoinedPipes,
): CriuRun {
  const { env, signal, timeoutMs } = options;
  const leaveStopped = staysStopped(options);
  const { inventory, shellJob } = images;
  const tcpClose = options.tcpClose ?? inventory.tcpClose;
  const shared = criuOptions(operation, { ...options, tcpClose }, shellJob);
  return {
    stage: 'restore',
    criu: operation.criu,
    args: restoreArguments({ ...shared, pidFile, leaveStopped, inheritFds: joined.inheritFds }),
    descriptors: joined.descriptors,
    workDir: operation.workDir,
    runDir: operation.runDir,
    keepTerminal: shared.shellJob === true && process.stdin.isTTY,
    env,
    signal,
    leaveStopped,
    timeoutMs,
    watch: watchOf(options, operation),
  };
}

/** Ends what a failed restore left. Its pids were free before, so any descendant of ours that has one came from it. */
async function endLeftOvers(images: RestorableImages, rootPid: number | undefined): Promise<void> {
  const pids = images.ownPidNamespace ? [] : images.tasks.map((task) => task.pid);
  for (const pid of new Set([...(rootPid === undefined ? [] : [rootPid]), ...pids])) {
    if (isDescendant(pid)) await killTree(pid);
  }
}

function findWarnings(images: RestorableImages, result: CriuResult): string[] {
  if (result.status) return memoryWarnings(result.status.memory, result.status.fallbacks);
  if (!images.inventory.plugins.includes('cuda_plugin')) return [];
  return [
    'the plugin wrote no status file, so it is not known whether device memory was restored: either the plugin is not from this project, or the run directory is not writable',
  ];
}

/**
 * @param criuPid the run of criu whose status file a standby has left
 * @param ended how it has already ended and was collected
 */
function createProcess(
  result: RestoreResult,
  runDir: string,
  criuPid: number | undefined,
  ended: ExitStatus | undefined,
): RestoredProcess {
  const { pid } = result;
  let standby = criuPid;
  const collect = async (): Promise<void> => {
    if (standby !== undefined) await collectStatus(runDir, standby);
    standby = undefined;
  };
  return {
    result,
    wait: async (options) => {
      const status = ended ?? (await waitForExit(pid, options));
      if (status !== undefined) await collect();
      return status;
    },
    kill: async (graceMs = 5000) => {
      if (!ended) await killTree(pid, graceMs);
      await collect();
    },
    killNow: () => {
      if (!ended) killTreeNow(pid);
    },
    wake: async (options) => {
      try {
        const woken = await wake(pid, { runDir, ...options });
        standby = undefined;
        return woken;
      } finally {
        if (!isAlive(pid)) await collect();
      }
    },
  };
}

/** Arguments of criu for the command of the caller. */
function postRestore(
  { postRestore: command }: RestoreOptions,
  { imagesDir, workDir }: Operation,
  dir: string,
  generation: WrittenGeneration | undefined,
): string[] {
  return command === undefined ? [] : postRestoreArguments(dir, { command, imagesDir, workDir, generation });
}

/**
 * Brings back files and runs criu. What can still be refused comes before anything is changed.
 * @param onEnd called with its pid when the program has ended
 */
async function runRestore(
  { images, options, operation, steps, keptPorts }: Prepared,
  pidFile: string,
  trace: Trace | undefined,
  onEnd: (pid: number) => void,
): Promise<RestoredProcess> {
  const { root } = images;
  const leaveStopped = staysStopped(options);
  // a standby reads its images later
  const used = chooseImages(operation.imagesDir, leaveStopped || !lacksTerminal(options, images));
  const joined = joinOutsidePipes(used.dir, options.log);
  const run = createRun(options, { ...operation, imagesDir: used.dir }, pidFile, images, joined);
  let broughtBack: string[];
  let result: CriuResult;
  try {
    broughtBack = await applySteps(operation.imagesDir, steps, options.signal);
    await freeKeptPorts(keptPorts);
    result = await runCriu(run);
    trace?.add(run, result);
  } finally {
    joined.close();
    used.close();
  }
  const pid = readPidFile(pidFile) ?? (images.ownPidNamespace ? undefined : root.pid);
  if (!succeeded(result)) {
    await endLeftOvers(images, pid);
    // two restores at once write one log: the one that lost names who has the pids, not what the other has logged
    if (images.tasks.some((task) => isAlive(task.pid) && !isDescendant(task.pid)))
      await checkPidsFree(images);
    const explained = explainPostRestore(operation.workDir, result.log);
    const log = await explainPort(operation.imagesDir, explained);
    throw restoreError(operation.imagesDir, run, { ...result, log });
  }
  if (pid === undefined) {
    throw new RestoreError('ERR_RESTORE_PID', `criu did not write the restored pid to ${pidFile}`);
  }
  markRestored(pid, () => {
    onEnd(pid);
  });
  const ended = await checkRestored(pid, operation.imagesDir, run).catch(async (error: unknown) => {
    await endLeftOvers(images, pid);
    throw error;
  });
  // returns at once if something has already woken it
  if (run.leaveStopped === true) await waitUntilStopped(pid, STOP_MS);
  return createProcess(
    {
      pid,
      imagesDir: operation.imagesDir,
      durationMs: result.durationMs,
      phases: restorePhases(result, readRestoreStats(operation.workDir)),
      tasks: result.status?.tasks ?? [],
      plugin: operation.plugin,
      memory: result.status?.memory ?? [],
      broughtBack,
      sharesOutput: joined.sharesOutput,
      warnings: [
        ...operation.notes,
        ...findWarnings(images, result),
        ...joined.warnings,
        ...(used.dir === operation.imagesDir ? [] : [noTerminal]),
      ],
    },
    operation.runDir,
    run.leaveStopped === true && result.status && isStandby(result.status) ? result.criuPid : undefined,
    ended,
  );
}

/**
 * Restores the checkpoint in a directory. After a failure no restored process is left running.
 * @throws {@link RestoreError} the restore was refused, or CRIU or the driver failed
 * @throws {@link KeptFilesError} files of the checkpoint are missing or have changed
 */
export async function restore(given: RestoreOptions): Promise<RestoredProcess> {
  given.signal?.throwIfAborted();
  checkOperationOptions(given);
  if (given.isolated !== undefined && given.isolated !== false) {
    checkRights('a restore');
    if (given.trace !== undefined)
      throw new UsageError('there is no trace of an isolated restore', 'restore without one of the two');
    const imagesDir = resolve(given.imagesDir);
    return restoreIsolated(given, imagesDir, readRestorableImages(imagesDir));
  }
  const operate = (trace: Trace | undefined): Promise<RestoredProcess> =>
    againWithoutLate(given, (options) => restoreHere(options, trace));
  return withTrace('restore', given.trace, operate, ({ result }) => result.warnings);
}

async function restoreHere(given: RestoreOptions, trace: Trace | undefined): Promise<RestoredProcess> {
  const { early, lock, ...prepared } = await prepareRestore(given);
  try {
    return await restorePrepared(prepared, early, trace);
  } finally {
    lock.release();
    for (const one of early) one.end();
  }
}

async function restorePrepared(
  { images, options, operation, steps, keptPorts }: Prepared,
  early: readonly EarlyHelper[],
  trace: Trace | undefined,
): Promise<RestoredProcess> {
  const generation = readOrigin(operation.imagesDir)?.generation;
  becomeSubreaper();
  const scratch = makeTemporaryDirectory('criu-cuda-restore-');
  try {
    const env = { ...options.env, ...helperVariables(early[0]) };
    const next = generation && writeGeneration(generation);
    const written = typeof next === 'object' ? next : undefined;
    const extraArgs = [...(options.extraArgs ?? []), ...postRestore(options, operation, scratch, written)];
    const prepared = { images, options: { ...options, env, extraArgs }, operation, steps, keptPorts };
    const restored = await runRestore(prepared, join(scratch, 'pid'), trace, (pid) => {
      if (written) endGeneration(generation?.path ?? '', pid);
    });
    restored.result.generation = written?.number;
    if (typeof next === 'string') restored.result.warnings.push(next);
    return restored;
  } finally {
    removeTemporaryDirectory(scratch);
  }
}
