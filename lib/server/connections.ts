// SPDX-License-Identifier: MIT
/**
 * The connections that a server still has open: CRIU refuses to dump a process with open connections.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ServerError } from './error.ts';

const LISTENS = '0A';
const POLL_MS = 1;

/**
 * Counts the connections of a port that belong to a process; those that only the kernel still has, as in TIME_WAIT,
 * have no inode.
 * @param table of /proc/net/tcp or /proc/net/tcp6
 */
export function countConnections(table: string, port: number): number {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').filter((line) => {
    const [, local = '', , state, , , , , , inode = '0'] = line.trim().split(/\s+/);
    return local.endsWith(wanted) && state !== LISTENS && inode !== '0';
  }).length;
}

function openConnections(port: number): number {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].filter((path) => existsSync(path));
  return tables.reduce((sum, path) => sum + countConnections(readFileSync(path, 'utf8'), port), 0);
}

/**
 * Waits until a server on this machine has closed its side of all connections. There is no event for that.
 * @throws {@link ToolkitError} ERR_SERVER at the timeout
 */
export async function untilNoConnections(
  port: number,
  options: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { timeoutMs = 10_000, signal } = options;
  const end = performance.now() + timeoutMs;
  for (let open = openConnections(port); open > 0; open = openConnections(port)) {
    if (performance.now() > end)
      throw new ServerError(
        'ERR_SERVER',
        `the server on port ${port} still has ${open} connections open after ${timeoutMs} ms`,
        { hint: 'close the other clients: CRIU cannot dump a process with open connections' },
      );
    await delay(POLL_MS, undefined, signal === undefined ? {} : { signal });
  }
}
