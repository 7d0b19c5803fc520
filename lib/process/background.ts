// SPDX-License-Identifier: MIT
/**
 * The processes that the plugin leaves behind when criu ends: its background processes, and the pool that serves one
 * run. This process is their subreaper and has to collect them; otherwise every dump would leave a zombie.
 * @module
 */
import { MOST_OF_WORDS, readBeginning } from './beginning.ts';
import { readChildren, readStat } from './proc.ts';
import { waitForExit } from './wait.ts';

/**
 * Names that the plugin and `cuda-poold --once` give them. The watcher is not here: the reader of the status file waits
 * for it.
 */
export const backgroundNames = /^cuda-(preinit|readahead|driver|pool-once)$/;

/** They end a moment after criu. Milliseconds. */
const ENDING_MS = 5000;

/** A watcher, or the second one that waits for its end. */
export const watcherName = /^cuda-watcher(-2)?$/;

/** Criu, the pool's helper before it has its name, and what makes namespaces: criu-cuda-isolate, of which 15 characters are kept. */
const otherNames = /^(criu|cuda-poold|criu-cuda-isola)$/;

/**
 * Whether a process below a command that restores is not of the program: criu, whatever it is called, what the plugin
 * has forked in it, or the pool's helper.
 */
export function helpsRestore(pid: number): boolean {
  const comm = readStat(pid)?.comm ?? '';
  if ([backgroundNames, watcherName, otherNames].some((names) => names.test(comm))) return true;
  return readBeginning(`/proc/${pid}/cmdline`, MOST_OF_WORDS).split('\0').includes('--restore-detached');
}

/** Collects them as they end. @returns when all have ended, or after 5 seconds */
export async function collectBackgroundProcesses(names = backgroundNames): Promise<void> {
  const ours = readChildren(process.pid).filter((pid) => names.test(readStat(pid)?.comm ?? ''));
  await Promise.all(ours.map((pid) => waitForExit(pid, { timeoutMs: ENDING_MS })));
}
