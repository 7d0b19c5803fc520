// SPDX-License-Identifier: MIT
/**
 * Which process has a port, in the network namespace of this program.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export type PortProtocol = 'tcp' | 'udp';

/** The state of sockets that listen, or of UDP sockets that are bound. */
const boundStates: Readonly<Record<PortProtocol, string>> = { tcp: '0A', udp: '07' };

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // no IPv6
  }
}

/**
 * Inodes of the sockets that are bound to a port.
 * @param table of /proc/net/tcp and the like
 */
export function boundInodes(table: string, protocol: PortProtocol, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [, local = '', , state] = fields;
    const inode = fields[9];
    return inode !== undefined && state === boundStates[protocol] && local.endsWith(suffix) ? [inode] : [];
  });
}

function hasDescriptor(pid: string, links: ReadonlySet<string>): boolean {
  const dir = `/proc/${pid}/fd`;
  try {
    return readdirSync(dir).some((fd) => {
      try {
        return links.has(readlinkSync(`${dir}/${fd}`));
      } catch {
        return false; // closed in the meantime
      }
    });
  } catch {
    return false; // it has ended, or belongs to another user
  }
}

/** @returns the pid; `undefined` when no process has the port, or it is not for this user to see */
export function findPortOwner(protocol: PortProtocol, port: number): number | undefined {
  const tables = [protocol, `${protocol}6`].map((name) => readText(`/proc/net/${name}`));
  const inodes = tables.flatMap((table) => boundInodes(table, protocol, port));
  if (inodes.length === 0) return undefined;
  const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const pid = pids.find((one) => hasDescriptor(one, links));
  return pid === undefined ? undefined : Number(pid);
}
