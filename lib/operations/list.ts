// SPDX-License-Identifier: MIT
/**
 * The operations whose status files are still there.
 * @module
 */
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { historyDir, listStatusFiles, opStatusPath, parseOpStatus, type StatusFile } from '../criu/index.ts';
import { isErrno } from '../errno.ts';
import type { Environment } from '../paths.ts';
import { isAlive } from '../process/index.ts';
import { checkRunDir } from '../run-dir.ts';
import { loadSettings } from '../settings/index.ts';
import { operationRecord, type OperationRecord } from './record.ts';

/** Which operations are listed. */
export interface ListOperationsOptions {
  /** Only so many, the latest. @default all whose files are there */
  last?: number | undefined;
  /** The run directory. @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** Environment with the settings. @default that of this process */
  env?: Environment | undefined;
}

function read({ path, modifiedMs }: StatusFile, runDir: string): OperationRecord | undefined {
  const criuPid = Number(/^op-(\d+)-/.exec(basename(path))?.[1] ?? 0);
  try {
    const status = parseOpStatus(readFileSync(path, 'utf8'));
    if (!status) return undefined;
    // pids of another pid namespace, or of long ago, mean nothing here
    const isCurrent = dirname(path) !== historyDir(runDir) && path === opStatusPath(runDir, criuPid);
    const alive = isCurrent && [criuPid, ...status.watcherPids].some(isAlive);
    return operationRecord(status, { criuPid, modifiedMs, isAlive: alive });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // collected meanwhile
    throw error;
  }
}

/**
 * Lists dumps and restores, the latest last: those of `criu-cuda`, of engines and of criu itself. A run in which
 * no process used CUDA leaves no file.
 * @throws `EnvironmentError` when other users may write to the run directory
 * @throws `CriuStatusError` a file is damaged
 */
export function listOperations(options: ListOperationsOptions = {}): OperationRecord[] {
  const runDir =
    options.runDir ?? loadSettings({ ...process.env, ...options.env }).settings.CRIU_CUDA_RUN_DIR;
  checkRunDir(runDir);
  const records = listStatusFiles(runDir)
    .flatMap((file) => read(file, runDir) ?? [])
    .toSorted((one, other) => one.timeMs - other.timeMs);
  return options.last === undefined ? records : records.slice(-options.last);
}
