// SPDX-License-Identifier: MIT
/**
 * What CRIU's log says about an operation that has failed. Engines choose where it is.
 * @module
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readCriuLog, type CriuLogSummary, type OpStatus } from '../criu/index.ts';

/** Clocks of file systems tick more slowly than the one of the plugin. Milliseconds. */
const TICK_MS = 1000;

/** runc gets both directories from its caller; containerd renames the log of a dump that has failed. */
function candidates({ stage, origin }: OpStatus): string[] {
  if (!origin) return [];
  const words = origin.caller.split(' ');
  const workDir = words[words.indexOf('--work-path') + 1];
  const dirs = [
    ...(words.includes('--work-path') && workDir !== undefined ? [workDir] : []),
    origin.imagesDir,
  ];
  const names = [`${stage}.log`, `criu-${stage}.log`];
  return dirs.flatMap((dir) => names.map((name) => join(dir, name)));
}

function modifiedMs(path: string): number | undefined {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return undefined; // as it is gone, or not for this user to read
  }
}

/** A log of what CRIU did. */
export interface OperationLog {
  /** Its path. */
  path: string;
  /** What it says. */
  summary: CriuLogSummary;
}

/** The log of this operation; `undefined`: it is gone, or that of another one has replaced it. */
export function operationLog(status: OpStatus, endedMs: number): OperationLog | undefined {
  const { timeMs = 0 } = status.origin ?? {};
  const path = candidates(status).find((one) => {
    const written = modifiedMs(one);
    return written !== undefined && written >= timeMs - TICK_MS && written <= endedMs + TICK_MS;
  });
  try {
    return path === undefined ? undefined : { path, summary: readCriuLog(path) };
  } catch {
    return undefined; // the same
  }
}
