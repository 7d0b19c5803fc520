// SPDX-License-Identifier: MIT
/**
 * Operations of helpers, which no socket reaches: the status files of the run directory tell.
 * @module
 */
import { isAlive } from '../process/index.ts';
import type { KnownOperation } from './owner.ts';

/** By pid, of every run of criu that has not ended for these processes. */
export async function readFileOperations(runDir: string): Promise<Map<number, KnownOperation>> {
  // its parser is not needed until memory is on its way
  const { listOpStatus, tryReadOpStatus } = await import('../criu/index.ts');
  const found = new Map<number, KnownOperation>();
  for (const criuPid of listOpStatus(runDir)) {
    // a file of another version tells nothing
    const status = tryReadOpStatus(runDir, criuPid);
    const { poolPid } = status ?? {};
    if (status === undefined || poolPid === undefined || !isAlive(poolPid)) continue;
    for (const { pid, operation, way } of status.inPool) {
      found.set(pid, {
        kind: status.stage,
        isAtRest: way === 'saved',
        operation: operation ?? null,
        poolPid,
        criuPid,
      });
    }
  }
  return found;
}
