// SPDX-License-Identifier: MIT
/** What criu has restored, once it has ended. @module */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { CriuRun } from '../criu/index.ts';
import { isAlive, waitForExit, type ExitStatus } from '../process/index.ts';
import { RestoreError } from './error.ts';

/** The root task's pid in this namespace; CRIU writes it as soon as it is known. */
export function readPidFile(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').trim());
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * A criu that SIGTERM or SIGINT ended during the restore kills what it has restored, and exits with 0.
 * @returns how the root task has already ended; `undefined` while it runs
 * @throws {@link RestoreError} it was killed, or is not there
 */
export async function checkRestored(
  pid: number,
  imagesDir: string,
  run: CriuRun,
): Promise<ExitStatus | undefined> {
  if (isAlive(pid)) return undefined;
  const status = await waitForExit(pid);
  const wasKilled = status?.kind === 'signaled' && status.signal === constants.signals.SIGKILL;
  if (status !== undefined && status.kind !== 'unknown' && !wasKilled) return status;
  const what = wasKilled ? `${pid} was killed by SIGKILL` : `there is no process ${pid}`;
  throw new RestoreError(
    'ERR_RESTORE_FAILED',
    `cannot restore ${imagesDir}: criu exited with 0, but ${what}`,
    {
      hint: `the checkpoint is unchanged: restore it again, and do not signal criu meanwhile; the log is ${run.workDir}/restore.log`,
    },
  );
}
