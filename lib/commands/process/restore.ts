// SPDX-License-Identifier: MIT
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addExamples, addOperands, imagesDirOperand, withOptions } from '../../command-line/index.ts';
import { monotonicMs } from '../../clock.ts';
import { formatDuration, type Io } from '../../output.ts';
import { exitCodeOf, isAlive, killDescendantsNow, readDescendants, sendSignal } from '../../process/index.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import {
  restore,
  type RestoredProcess,
  type RestoreOptions,
  type RestoreResult,
} from '../../restore/index.ts';
import { launchedPid } from '../../start/launched.ts';
import { releaseDevices } from '../../stop/index.ts';
import {
  addOperationOptions,
  criuOptions,
  phaseTable,
  pluginText,
  showWarnings,
  toOperationOptions,
  type CommonFlags,
} from '../operation-options.ts';

/** What `restore` is given. */
export interface RestoreFlags extends CommonFlags {
  detach?: boolean | undefined;
  leaveStopped?: boolean | undefined;
  log?: string | undefined;
  keepShared?: string[] | undefined;
  isolated?: boolean | undefined;
  isolatedNetwork?: boolean | undefined;
  postRestore?: string | undefined;
  /** What was found before, for the result; the user has seen it. */
  warnings?: readonly string[] | undefined;
  /** Settings for this restore. */
  env?: Record<string, string> | undefined;
}

const addPath = (path: string, paths: string[] = []): string[] => [...paths, resolve(path)];

/** Where a tree is that was restored isolated, and how it is reached. */
function isolationText({ pid, isolated }: RestoreResult): string[] {
  if (!isolated) return [];
  const [port] = isolated.ports;
  const inside = `isolated: its pid inside is ${isolated.insidePid}`;
  if (!isolated.network || port === undefined) return [inside];
  const ports = isolated.ports.join(', ');
  return [
    inside,
    `its network is its own (TCP ports ${ports}): nsenter --target ${pid} --net curl http://127.0.0.1:${port}/`,
  ];
}

function resultText(result: RestoreResult, leaveStopped: boolean): string {
  return [
    `restored ${result.pid} in ${formatDuration(result.durationMs)}`,
    phaseTable(result.phases, result.durationMs),
    ...(result.broughtBack.length === 0 ? [] : [`files brought back: ${result.broughtBack.join(', ')}`]),
    pluginText(result),
    ...isolationText(result),
    ...(leaveStopped ? [`it is stopped; to wake it: criu-cuda wake ${result.pid}`] : []),
  ].join('\n');
}

/** How long an interrupted program has to end by itself, milliseconds. */
const GRACE_MS = 5000;

/**
 * Does the work of a command that restores. A second Ctrl-C ends this process at once, at any moment, and all that was
 * restored by then with it, unless the command is done. What was below this process before is not ended: a shell that
 * executes the command leaves its background jobs to it.
 */
export async function endingTogether(io: Io, work: () => Promise<void>): Promise<void> {
  const before = readDescendants().filter(({ pid }) => pid !== launchedPid());
  const kill = (): void => {
    if (!io.isComplete) killDescendantsNow(before);
  };
  process.once('exit', kill);
  try {
    await work();
  } finally {
    process.off('exit', kill);
  }
}

/** SIGTERM; what is left then is taken off the GPU before it is killed, as by `criu-cuda stop`. */
export async function endRestored(restored: RestoredProcess): Promise<void> {
  const { pid } = restored.result;
  if (isAlive(pid) && sendSignal(pid, 'SIGTERM')) {
    sendSignal(pid, 'SIGCONT');
    const ended = await restored.wait({ timeoutMs: GRACE_MS });
    if (ended === undefined) await releaseDevices(pid);
  }
  await restored.kill(0);
}

/** Waits until the restored process ends. When interrupted, ends it. */
async function stay(io: Io, restored: RestoredProcess): Promise<void> {
  try {
    const status = await restored.wait({ signal: io.signal });
    io.exitCode = status === undefined ? 1 : exitCodeOf(status);
  } catch (error) {
    await endRestored(restored);
    throw error;
  }
}

/** What is asked of a restore. */
export function restoreOptions(flags: RestoreFlags, io: Io): RestoreOptions {
  return {
    ...toOperationOptions(flags, io),
    env: flags.env,
    leaveStopped: flags.leaveStopped === true,
    ...{ log: flags.log, keepShared: flags.keepShared, postRestore: flags.postRestore },
    isolated: flags.isolatedNetwork === true ? { network: true } : flags.isolated,
  };
}

/**
 * Says what a restore did, and stays until the tree ends unless it is to be detached.
 * @param startedMs when it was begun, by the monotonic clock
 */
export async function showRestored(
  io: Io,
  flags: RestoreFlags,
  restored: RestoredProcess,
  startedMs: number,
): Promise<void> {
  io.isComplete = flags.detach === true;
  io.sharesStdout = restored.result.sharesOutput;
  const warnings = [...(flags.warnings ?? []), ...restored.result.warnings];
  io.result({ ...restored.result, warnings, startedMs }, () =>
    resultText(restored.result, flags.leaveStopped === true),
  );
  showWarnings(io, restored.result.warnings);
  if (flags.detach !== true) await stay(io, restored);
}

/** Restores, and stays until the tree ends unless it is to be detached. */
export async function runRestore(io: Io, flags: RestoreFlags): Promise<void> {
  const startedMs = monotonicMs();
  await endingTogether(io, async () => {
    const restored = await withProgress(io, `restore from ${flags.imagesDir}`, (report) =>
      restore({ ...restoreOptions(flags, io), onProgress: bytesFor(io, report) }),
    );
    await showRestored(io, flags, restored, startedMs);
  });
}

export function defineRestore(command: Command, io: Io): void {
  addOperands(command, [imagesDirOperand()], criuOptions)
    .option('--detach', 'return at once; init or the nearest subreaper adopts the process')
    .option('--log <file>', 'append output to a file, if it went into a pipe to a process outside the tree')
    .option(
      '--keep-shared <path>',
      'leave a file as it is although it has changed since the dump; repeatable',
      addPath,
    )
    .option('--isolated', 'restore in pid, mount and IPC namespaces of its own, beside other copies')
    .option('--isolated-network', 'the same, with a network namespace')
    .option('--post-restore <command>', 'run a command for a shell before the restored processes run')
    .option('--leave-stopped', 'leave the tree stopped until criu-cuda wake');
  addOperationOptions(command).action(withOptions((flags: RestoreFlags) => runRestore(io, flags)));
  addExamples(
    command,
    'criu-cuda restore /var/lib/images',
    'criu-cuda restore /var/lib/images --detach --tcp-established',
  );
}
