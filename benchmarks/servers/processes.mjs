// SPDX-License-Identifier: MIT
// Process trees, read from /proc.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export const isRunning = (pid) => {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

/** Also until its parent has collected it: a restore needs its pid. */
export async function untilGone(pid) {
  while (existsSync(`/proc/${pid}`)) await sleep(5);
}

const parentOf = (pid) => {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
  } catch {
    return 0;
  }
};

/** The pid and those of its descendants. */
export function treeOf(root) {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
  const children = (pid) => pids.filter((one) => parentOf(one) === pid);
  const found = [root];
  for (const pid of found) found.push(...children(pid));
  return found;
}

/** Ends a tree at once: no command of ours has to do with how a benchmark ends. */
export async function endTree(root) {
  const pids = treeOf(root);
  for (const pid of pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
  for (const pid of pids) await untilGone(pid);
}
