// SPDX-License-Identifier: MIT
/**
 * Terminals of processes.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What a process has open: terminals by path, and the indexes of those whose master side it has. */
interface OpenTerminals {
  terminals: string[];
  masters: string[];
}

const isTerminal = (path: string): boolean => /^\/dev\/(?:pts\/\d+|tty\w*|console)$/.test(path);
const isMaster = (path: string): boolean => /^\/dev\/(?:pts\/)?ptmx$/.test(path);

function readOrSkip<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // closed, or the process has ended
  }
}

function openTerminals(pid: number): OpenTerminals {
  const found: OpenTerminals = { terminals: [], masters: [] };
  for (const fd of readOrSkip(() => readdirSync(`/proc/${pid}/fd`)) ?? []) {
    const path = readOrSkip(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '';
    if (isTerminal(path)) found.terminals.push(path);
    if (!isMaster(path)) continue;
    const info = readOrSkip(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')) ?? '';
    const index = /^tty-index:\s*(\d+)$/m.exec(info)?.[1];
    if (index !== undefined) found.masters.push(`/dev/pts/${index}`);
  }
  return found;
}

/** Whether one of these processes has a terminal open that none of them provides, such as that of a shell. */
export function usesOuterTerminal(pids: readonly number[]): boolean {
  const all = pids.map(openTerminals);
  const own = new Set(all.flatMap(({ masters }) => masters));
  return all.some(({ terminals }) => terminals.some((path) => !own.has(path)));
}
