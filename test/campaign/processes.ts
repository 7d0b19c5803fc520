// SPDX-License-Identifier: MIT
/** The processes of the campaign's namespace: this process is its init, so all of them are its descendants. */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import {
  readStat,
  readThreadState,
  sendSignal,
  waitForExit,
  type ProcessStat,
} from '../../lib/process/index.ts';

/** All but this one. */
export function allProcesses(): ProcessStat[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid);
  return pids.flatMap((pid) => readStat(pid) ?? []);
}

const isEnded = ({ state }: ProcessStat): boolean => state === 'Z' || state === 'X';

/** Those that have not ended. */
export const livingProcesses = (): ProcessStat[] => allProcesses().filter((stat) => !isEnded(stat));

export const findByName = (comm: RegExp): number[] =>
  livingProcesses().flatMap((stat) => (comm.test(stat.comm) ? [stat.pid] : []));

/** Collects children that Node does not know; others are collected by their parents, when these end. */
async function collectZombies(): Promise<void> {
  const zombies = allProcesses().filter((stat) => isEnded(stat) && stat.ppid === process.pid);
  await Promise.all(zombies.map(({ pid }) => waitForExit(pid, { timeoutMs: 1000 })));
}

/** Ends everything, and collects it. */
export async function killAll(): Promise<void> {
  for (let round = 0; round < 1000 && allProcesses().length > 0; round++) {
    for (const { pid } of livingProcesses()) sendSignal(pid, 'SIGKILL');
    await delay(1); // Node collects its own children between two looks
    await collectZombies();
  }
}

/** Collects all zombies, and waits until Node has collected its own. */
export async function untilCollected(timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (allProcesses().some(isEnded) && performance.now() < end) {
    await collectZombies();
    await delay(1);
  }
}

/** Waits until no such process is left, for what ends a moment later. @returns what is left */
export async function remaining(
  isMeant: (stat: ProcessStat) => boolean,
  timeoutMs: number,
): Promise<ProcessStat[]> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    await collectZombies();
    const left = allProcesses().filter(isMeant);
    if (left.length === 0 || performance.now() > end) return left;
    await delay(2);
  }
}

/**
 * Ends the processes in which a criu that was killed tried what the kernel can do: traced by it, they wait forever.
 * @returns whether there were any
 */
export async function killCriusChildren(): Promise<boolean> {
  const isLeft = ({ comm, ppid, state }: ProcessStat): boolean =>
    comm === 'criu' && ppid === process.pid && state !== 'Z';
  const left = await remaining(isLeft, 500);
  for (const { pid } of left) sendSignal(pid, 'SIGKILL');
  return left.length > 0;
}

/** Stops a process, waits until it has stopped, and continues it. */
export async function pause(pid: number, ms: number): Promise<void> {
  if (!sendSignal(pid, 'SIGSTOP')) return;
  const end = performance.now() + 1000;
  while (!['T', 't', undefined].includes(readThreadState(pid, pid)) && performance.now() < end)
    await delay(1);
  await delay(ms);
  sendSignal(pid, 'SIGCONT');
}

/** Waits until a process that was killed has ended. */
export async function untilGone(pid: number, timeoutMs: number): Promise<void> {
  await remaining((stat) => stat.pid === pid, timeoutMs);
}
