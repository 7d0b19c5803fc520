// SPDX-License-Identifier: MIT
/** Processes of an isolated tree, whose pids inside and outside differ. @module */
import { readFileSync } from 'node:fs';
import {
  helpsRestore,
  MOST_OF_WORDS,
  readBeginning,
  readChildren,
  readProcessTree,
  readStat,
} from '../process/index.ts';
import { insideWord } from './request.ts';

/** Name of the first process of each isolated tree; see plugins-cuda/isolate. */
const INIT = 'criu-cuda-init';

/** Criu, its helpers and ours are together fewer. */
const ROOM = 1000;
/** Below, the kernel gives none a second time. */
const LOWEST = 1000;

/** The pids of a process, from the namespace of this program to its own; none if it has ended. */
function readPids(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [, line = ''] = /^NSpid:\s*(.*)$/m.exec(text) ?? [];
    return line.split(/\s+/).filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** An isolated tree, as a process of it tells. */
export interface IsolatedTree {
  /** Its first process, seen from here. */
  initPid: number;
  /** The pid that was asked about, and its pid inside; the root of the tree if the first process was. */
  pid: number;
  insidePid: number;
}

/** Whether it is this program, which works in the namespaces. */
const isInside = (pid: number): boolean =>
  readBeginning(`/proc/${pid}/cmdline`, MOST_OF_WORDS).split('\0')[2] === insideWord;

/** Whether it is the first process of an isolated tree, whose program may still be missing. */
export const isFirstProcess = (pid: number): boolean => readStat(pid)?.comm === INIT;

/** @returns `undefined` unless the process was restored isolated, and this program was not */
export function findIsolatedTree(pid: number): IsolatedTree | undefined {
  const pids = readPids(pid);
  const [insidePid] = pids.slice(1);
  if (insidePid === undefined || pids.length > 2) return undefined;
  if (insidePid === 1) {
    if (!isFirstProcess(pid)) return undefined;
    const root = readChildren(pid).find((child) => !helpsRestore(child) && !isInside(child));
    return root === undefined ? undefined : { initPid: pid, pid: root, insidePid: readPids(root)[1] ?? 0 };
  }
  for (let stat = readStat(pid); stat; stat = readStat(stat.ppid)) {
    const [, inside] = readPids(stat.pid);
    if (inside === 1) return stat.comm === INIT ? { initPid: stat.pid, pid, insidePid } : undefined;
    if (inside === undefined) return undefined;
  }
  return undefined;
}

/** The pids here of all processes below the first one, by those that they have inside. */
export function readOutsidePids(initPid: number): Map<number, number> {
  const found = new Map<number, number>();
  for (const { pid } of readProcessTree(initPid)) {
    const [, inside] = readPids(pid);
    if (inside !== undefined) found.set(inside, pid);
  }
  return found;
}

/**
 * A pid after which none of those is for a while; by chance, so that two copies do not use the same pid, by which the
 * plugin names its status file.
 */
export function chooseLastPid(used: readonly number[]): number {
  const most = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));
  const taken = new Set(used);
  const isFree = (from: number): boolean => {
    for (let pid = from; pid <= from + ROOM; pid += 1) if (taken.has(pid)) return false;
    return true;
  };
  const begin = LOWEST + Math.floor(Math.random() * (most - LOWEST - ROOM));
  for (let from = begin; from < most - ROOM; from += ROOM) if (isFree(from)) return from;
  for (let from = LOWEST; from < begin; from += ROOM) if (isFree(from)) return from;
  return begin;
}
