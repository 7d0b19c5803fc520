// SPDX-License-Identifier: MIT
import type { Command } from 'commander';
import {
  addExamples,
  addOperands,
  imagesDirOperand,
  pidOperand,
  withOptions,
} from '../../command-line/index.ts';
import { checkpoint, type CheckpointResult } from '../../checkpoint/index.ts';
import { monotonicMs } from '../../clock.ts';
import { formatBytes, formatDuration, type Io } from '../../output.ts';
import { bytesFor, withProgress } from '../../progress.ts';
import { parseSize } from '../../size.ts';
import {
  addOperationOptions,
  criuOptions,
  parsePid,
  phaseTable,
  pluginText,
  showWarnings,
  toOperationOptions,
  type CommonFlags,
} from '../operation-options.ts';

interface Flags extends CommonFlags {
  pid: number;
  leaveRunning?: boolean | undefined;
  force?: boolean | undefined;
  keepFiles?: string | undefined;
  prevImagesDir?: string | undefined;
}

function resultText(result: CheckpointResult): string {
  const { pid, runPid, imagesDir, imageBytes, durationMs, frozenMs, leaveRunning } = result;
  const cuda = result.tasks.length === 0 ? 'no CUDA process' : `CUDA processes: ${result.tasks.length}`;
  return [
    ...(runPid === undefined ? [] : [`${runPid} is the criu-cuda that waits for ${pid}`]),
    `checkpoint of ${pid} in ${imagesDir}: ${formatBytes(imageBytes)}, ${cuda}`,
    phaseTable(result.phases, durationMs),
    pluginText(result),
    ...(frozenMs === undefined ? [] : [`the process was paused for ${formatDuration(frozenMs)}`]),
    leaveRunning ? 'it is running' : 'it has ended',
  ].join('\n');
}

async function runCheckpoint(io: Io, flags: Flags): Promise<void> {
  const { pid, leaveRunning = false, force = false, keepFiles, prevImagesDir } = flags;
  const keepBytes = keepFiles === undefined ? undefined : parseSize(keepFiles);
  const options = { ...toOperationOptions(flags, io), pid, leaveRunning, force, keepBytes, prevImagesDir };
  const startedMs = monotonicMs();
  const result = await withProgress(io, `checkpoint of ${pid}`, (report) =>
    checkpoint({ ...options, onProgress: bytesFor(io, report) }),
  );
  io.isComplete = true;
  io.result({ ...result, startedMs }, () => resultText(result));
  showWarnings(io, result.warnings);
}

export function defineCheckpoint(command: Command, io: Io): void {
  addOperands(command, [pidOperand(parsePid), imagesDirOperand()], criuOptions)
    .option('--leave-running', 'keep the process running after the dump')
    .option(
      '--keep-files <size>',
      'keep files of the tree up to this size (default: 1G that it writes in /dev/shm and other tmpfs; 64M that it reads there)',
    )
    .option(
      '--prev-images-dir <dir>',
      'earlier checkpoint of the process: GPU memory that is in it is shared, not written again',
    )
    .option('--force', 'replace an existing checkpoint in the directory once the new one is complete');
  addOperationOptions(command).action(withOptions((flags: Flags) => runCheckpoint(io, flags)));
  addExamples(
    command,
    'criu-cuda checkpoint 4711 /var/lib/images',
    'criu-cuda checkpoint 4711 /var/lib/images --leave-running --tcp-established',
    'criu-cuda checkpoint 4711 /var/lib/images -- --ghost-limit 64M',
    'criu-cuda checkpoint 4711 /var/lib/tuesday --prev-images-dir /var/lib/monday',
  );
}
