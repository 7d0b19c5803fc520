// SPDX-License-Identifier: MIT
/**
 * How much memory a process has, as the kernel sums it up (/proc/PID/smaps_rollup).
 * @module
 */
import { readFile } from 'node:fs/promises';
import { ToolkitError } from '../errors.ts';
import { ProcError } from './error.ts';
import { checkPid } from './proc.ts';

/** All in bytes. */
export interface MemorySummary {
  /** In memory. */
  residentBytes: number;
  /** Resident, shared pages divided by their users. */
  proportionalBytes: number;
  /** Resident and not of a file: what CRIU has to store. */
  anonymousBytes: number;
  /** Resident and changed, in memory that others do not see. */
  privateDirtyBytes: number;
  /** Of the anonymous ones, in transparent huge pages: copied faster. */
  hugePageBytes: number;
  /** On the swap device. */
  swappedBytes: number;
  /** Locked in memory. */
  lockedBytes: number;
}

const fields: Readonly<Record<keyof MemorySummary, string>> = {
  residentBytes: 'Rss',
  proportionalBytes: 'Pss',
  anonymousBytes: 'Anonymous',
  privateDirtyBytes: 'Private_Dirty',
  hugePageBytes: 'AnonHugePages',
  swappedBytes: 'Swap',
  lockedBytes: 'Locked',
};

/** Parses the text of smaps_rollup. @throws `ToolkitError` ERR_PROCESS_MEMORY when a field is missing */
export function parseMemory(text: string): MemorySummary {
  const values = new Map(
    [...text.matchAll(/^(\w+):\s+(\d+) kB$/gm)].map((match) => [match[1] ?? '', Number(match[2]) * 1024]),
  );
  const read = (key: keyof MemorySummary): number => {
    const value = values.get(fields[key]);
    if (value !== undefined) return value;
    throw new ProcError('ERR_PROCESS_MEMORY', `smaps_rollup has no ${fields[key]}`);
  };
  return {
    residentBytes: read('residentBytes'),
    proportionalBytes: read('proportionalBytes'),
    anonymousBytes: read('anonymousBytes'),
    privateDirtyBytes: read('privateDirtyBytes'),
    hugePageBytes: read('hugePageBytes'),
    swappedBytes: read('swappedBytes'),
    lockedBytes: read('lockedBytes'),
  };
}

/**
 * Sums up the memory of a process. The kernel walks all its pages, which takes long for a large one: it does so
 * off the event loop.
 * @returns `undefined` when there is no such process, it is ending, or this user may not look at it
 */
export async function readMemorySummary(pid: number): Promise<MemorySummary | undefined> {
  checkPid(pid);
  try {
    return parseMemory(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8'));
  } catch (error) {
    if (error instanceof ToolkitError) throw error;
    return undefined;
  }
}
