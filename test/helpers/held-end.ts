// SPDX-License-Identifier: MIT
/**
 * A process that is ending, and stays so for as long as a test needs: its descriptors are closed and its memory is
 * given up, but it has not ended. With much memory that takes a while; here it does not depend on time. The first
 * process of a PID namespace ends only when all others of it are collected, and one of them has a stopped parent.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { readChildren, readStat, sendSignal } from '../../lib/process/index.ts';
import { waitUntil } from './wait.ts';

export interface HeldEnd {
  /** The first process, from outside. */
  readonly pid: number;
  /** Kills it. Its end begins, and cannot complete. */
  kill(): Promise<void>;
  /** Lets it end; to be called in any case. */
  release(): Promise<void>;
}

/** Words in front of a program that make it the first process of a PID namespace. */
export const inNamespace = ['unshare', '--pid', '--fork'] as const;

/** @param unshare pid of the program started with {@link inNamespace}, once the other runs */
export async function holdEnd(unshare: number): Promise<HeldEnd> {
  const [pid] = readChildren(unshare);
  if (pid === undefined) throw new Error(`${unshare} has no child`);
  const holder = spawn('nsenter', ['--target', String(pid), '--pid', 'sleep', '1000'], { stdio: 'ignore' });
  const ended = once(holder, 'exit');
  const parent = holder.pid ?? 0;
  await waitUntil(() => readChildren(parent).length > 0);
  const [other] = readChildren(parent);
  holder.kill('SIGSTOP');
  await waitUntil(() => readStat(parent)?.state === 'T');
  return {
    pid,
    kill: async () => {
      process.kill(pid, 'SIGKILL');
      await waitUntil(() => readdirSync(`/proc/${pid}/fd`).length === 0);
    },
    release: async () => {
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      if (other !== undefined) sendSignal(other, 'SIGKILL');
      holder.kill('SIGCONT'); // it collects the other one
      await ended;
    },
  };
}
