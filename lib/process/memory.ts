// SPDX-License-Identifier: MIT
/**
 * How much memory a process has: the kernel's sums in /proc/PID/smaps_rollup.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { ToolkitError } from '../errors.ts';
import { ProcError } from './error.ts';
import { checkPid } from './proc.ts';

/** Memory of a process. Bytes. */
export interface MemorySummary {
  /** Resident memory. */
  residentBytes: number;
  /** Resident memory, where a page shared by n processes counts 1/n. */
  proportionalBytes: number;
  /** Resident memory that no file backs: what CRIU has to store. */
  anonymousBytes: number;
  /** Resident, modified, and mapped by this process only. */
  privateDirtyBytes: number;
  /** The part of `anonymous` in transparent huge pages, which are faster to copy. */
  hugePageBytes: number;
  /** Swapped out. */
  swappedBytes: number;
  /** Locked in memory (mlock). */
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
 * Sums up the memory of a process. The kernel walks all its pages, which takes long for a large process, so this reads
 * off the event loop.
 * @returns `undefined` when there is no such process, it is ending, or this user must not read it
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
