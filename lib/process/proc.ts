// SPDX-License-Identifier: MIT
/**
 * Reads /proc. A process may end at any moment: for one that has ended, these functions return `undefined` and never
 * throw.
 * @module
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { isErrno } from '../errno.ts';
import { readBeginningAside } from './beginning.ts';
import { ProcError } from './error.ts';
import { UsageError } from '../errors.ts';

/** Some fields of /proc/PID/stat. */
export interface ProcessStat {
  /** Process id. */
  pid: number;
  /** Name of the program, at most 15 characters. */
  comm: string;
  /** R running, S sleeping, D uninterruptible, T stopped, t traced, Z zombie, X dead … */
  state: string;
  /** Pid of the parent. */
  ppid: number;
  /** Pid of the leader of the process group. */
  processGroup: number;
  /** Pid of the leader of the session. */
  session: number;
  /** Device number of the controlling terminal, 0 without one. */
  terminal: number;
  /**
   * Start time in clock ticks since boot. Pid and start time together identify a process even after its pid is reused.
   */
  startTime: number;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
}

const readText = (path: string): string | undefined => attempt(() => readFileSync(path, 'utf8'));

/** Parses one line of /proc/PID/stat; the command may contain spaces and parentheses. */
export function parseStat(line: string): ProcessStat {
  const open = line.indexOf('(');
  const close = line.lastIndexOf(')');
  const fields = line.slice(close + 2).split(' ');
  const number = (field: number): number => Number(fields[field - 3]);
  const stat = {
    pid: Number(line.slice(0, open - 1)),
    comm: line.slice(open + 1, close),
    state: fields[0] ?? '?',
    ppid: number(4),
    processGroup: number(5),
    session: number(6),
    terminal: number(7),
    startTime: number(22),
  };
  if (open < 0 || close < open || !Number.isSafeInteger(stat.pid) || !Number.isSafeInteger(stat.startTime)) {
    throw new ProcError('ERR_PROCESS_STAT', `not a line of /proc/PID/stat: ${line.slice(0, 80)}`);
  }
  return stat;
}

/** Reads the stat of a process; a zombie still has one. @returns `undefined` when there is no such process */
export function readStat(pid: number): ProcessStat | undefined {
  const line = readText(`/proc/${pid}/stat`);
  return line === undefined ? undefined : parseStat(line);
}

/** State letter of one thread. @returns `undefined` when it has ended */
export function readThreadState(pid: number, tid: number): string | undefined {
  const line = readText(`/proc/${pid}/task/${tid}/stat`);
  return line === undefined ? undefined : parseStat(line).state;
}

/** Of a command line that is shown. Bytes. */
const MOST_SHOWN = 65_536;

/**
 * Command line for display: the arguments, or the name in brackets for a zombie or kernel thread. The arguments are in
 * the process's own memory, and the kernel waits while its memory map is being changed, so this reads off the event
 * loop.
 */
export async function describeProcess(pid: number): Promise<string> {
  const text = await readBeginningAside(`/proc/${pid}/cmdline`, MOST_SHOWN);
  const command = text.replaceAll(/[\p{C}\s]+/gu, ' ').trim(); // on one line, whatever is in its words
  if (command) return command;
  const stat = readStat(pid);
  if (!stat) return 'no process';
  return stat.state === 'Z' ? `[${stat.comm}] (zombie)` : `[${stat.comm}]`;
}

/** @throws {@link UsageError} for anything that cannot be the pid of a process */
export function checkPid(pid: unknown): void {
  if (typeof pid === 'number' && Number.isInteger(pid) && pid > 0 && pid < 2 ** 31) return;
  throw new UsageError(`${typeof pid === 'string' ? JSON.stringify(pid) : String(pid)} is not a pid`);
}

/** Of linux/sched.h. */
const PF_EXITING = 0x4;
const PF_KTHREAD = 0x20_0000;
/** @param stat a line of /proc/PID/stat */
function hasFlag(stat: string, flag: number): boolean {
  const flags = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6];
  return (Number(flags) & flag) !== 0;
}

const numberOf = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s*(\\d+)$`, 'm').exec(status)?.[1] ?? NaN);

/**
 * A thread has a directory in /proc, too, and the kernel's threads look like processes.
 * @throws {@link UsageError} the pid is that of a thread; which process it belongs to
 */
export function checkNoThread(pid: number): void {
  const status = readText(`/proc/${pid}/status`) ?? '';
  const process = numberOf(status, 'Tgid');
  if (process > 0 && process !== pid)
    throw new UsageError(`${pid} is a thread of process ${process}`, `the pid is ${process}`);
  if (hasFlag(readText(`/proc/${pid}/stat`) ?? '', PF_KTHREAD))
    throw new UsageError(`${pid} is a thread of the kernel`, 'name a process');
}

/** Whether the process exists and is not a zombie; a stopped one is alive. */
export function isAlive(pid: number): boolean {
  const state = readStat(pid)?.state;
  return state !== undefined && state !== 'Z' && state !== 'X';
}

const SIGKILL_BIT = 1n << 8n;

function isThreadEnding(pid: number, tid: string): boolean {
  // a thread that takes the signal is exiting a moment later, so the signal is looked for first
  const status = readText(`/proc/${pid}/task/${tid}/status`) ?? '';
  const pending = [...status.matchAll(/^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$/gm)];
  if (pending.some(([, mask]) => (BigInt(`0x${mask}`) & SIGKILL_BIT) !== 0n)) return true;
  const stat = readText(`/proc/${pid}/task/${tid}/stat`);
  return stat === undefined || hasFlag(stat, PF_EXITING);
}

/**
 * Whether the process has ended, or will do nothing more: every thread is exiting or has been killed. Its descriptors
 * are closed and its memory is given up a moment before it is a zombie, or much later when it has much memory.
 */
export function isEnding(pid: number): boolean {
  const threads = attempt(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return threads.every((tid) => isThreadEnding(pid, tid));
}

/** Direct children of all threads of the process. */
export function readChildren(pid: number): number[] {
  const threads = attempt(() => readdirSync(`/proc/${pid}/task`)) ?? [];
  return threads.flatMap((tid) => {
    const line = readText(`/proc/${pid}/task/${tid}/children`) ?? '';
    return line.split(' ').filter(Boolean).map(Number);
  });
}

/** A process and all its descendants, parents before children. */
export function readProcessTree(pid: number): ProcessStat[] {
  checkPid(pid);
  const tree: ProcessStat[] = [];
  const queue = [pid];
  const seen = new Set(queue);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const stat = readStat(next);
    if (!stat) continue;
    tree.push(stat);
    for (const child of readChildren(next)) {
      if (seen.has(child)) continue;
      seen.add(child);
      queue.push(child);
    }
  }
  return tree;
}

/** Whether a process sees the same file systems as this one, below the same root. */
export function sharesMounts(pid: number): boolean {
  const seen = (one: number | 'self'): string | undefined =>
    attempt(() => readlinkSync(`/proc/${one}/ns/mnt`) + readlinkSync(`/proc/${one}/root`));
  return seen(pid) === seen('self');
}

/** Every process of this PID namespace. */
export const listPids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** Paths of the files that the processes have mapped, each once; none of a process that may not be looked at. */
export function readMappedFiles(pids: readonly number[]): string[] {
  const read = (pid: number): string => {
    try {
      return readFileSync(`/proc/${pid}/maps`, 'utf8');
    } catch {
      return '';
    }
  };
  const paths = pids.flatMap((pid) => read(pid).match(/(?<= )\/.*$/gm) ?? []);
  return [...new Set(paths)];
}

/** Whether the process is a child of this one, or a descendant of a child. */
export function isDescendant(pid: number): boolean {
  for (let stat = readStat(pid); stat && stat.ppid > 0; stat = readStat(stat.ppid)) {
    if (stat.ppid === process.pid) return true;
  }
  return false;
}

/** Whether `pid` is still the process that `stat` was read from. */
export function isSameProcess(stat: ProcessStat): boolean {
  return readStat(stat.pid)?.startTime === stat.startTime;
}
