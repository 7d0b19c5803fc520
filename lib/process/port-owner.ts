// SPDX-License-Identifier: MIT
/**
 * Which process has a port, in the network namespace of this program.
 * @module
 */
import { readdirSync, readFile, readFileSync, readlinkSync } from 'node:fs';
import { listPids } from './proc.ts';

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

/** A socket that has a port. */
export interface PortEntry {
  /** Its address, in 32-bit words as the kernel and CRIU have them. */
  words: number[];
  inode: string;
}

/** The words of an address that is printed in hexadecimal. */
const wordsOf = (text: string): number[] =>
  (text.match(/.{8}/g) ?? []).map((word) => Number.parseInt(word, 16));

/** A line of /proc/net/tcp and the like. */
interface Row {
  /** Address and port, as they are printed. */
  local: string;
  state: string;
  inode: string;
}

const rowsOf = (table: string): Row[] =>
  table.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [, local = '', , state = ''] = fields;
    const inode = fields[9];
    return inode === undefined ? [] : [{ local, state, inode }];
  });

/** The sockets that are bound to a port. */
function boundIn(rows: readonly Row[], protocol: PortProtocol, port: number): PortEntry[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return rows
    .filter(({ local, state }) => state === boundStates[protocol] && local.endsWith(suffix))
    .map(({ local, inode }) => ({ words: wordsOf(local.slice(0, -suffix.length)), inode }));
}

/** Inodes of the sockets in a table that are bound to a port. */
export const boundInodes = (table: string, protocol: PortProtocol, port: number): string[] =>
  boundIn(rowsOf(table), protocol, port).map(({ inode }) => inode);

/** The tables of the kernel that have a protocol's sockets. */
const tablesOf = (protocol: PortProtocol): string[] =>
  [protocol, `${protocol}6`].map((name) => `/proc/net/${name}`);

const readRows = (protocol: PortProtocol): Row[] =>
  tablesOf(protocol).flatMap((table) => rowsOf(readText(table)));

/** States of connections that the kernel keeps for up to a minute after their process has closed them, all data received: FIN-WAIT-2, TIME-WAIT. */
const keptStates = new Set(['05', '06']);

/** The ports that such connections have. */
const keptIn = (rows: readonly Row[]): Set<number> =>
  new Set(
    rows
      .filter(({ state, inode }) => keptStates.has(state) && inode === '0')
      .map(({ local }) => Number.parseInt(local.split(':')[1] ?? '', 16)),
  );

/** The TCP ports of this network namespace that such connections have. */
export const keptPorts = (): Set<number> => keptIn(readRows('tcp'));

/** The sockets of this network namespace that are bound to a port. */
const boundSockets = (protocol: PortProtocol, port: number): PortEntry[] =>
  boundIn(readRows(protocol), protocol, port);

/** The TCP sockets of this network namespace. */
export interface TcpSockets {
  /** Those that listen at a port. */
  boundTo: (port: number) => PortEntry[];
  /** As {@link keptPorts}. */
  kept: Set<number>;
}

/**
 * Reads the tables once for many ports: to read one takes the kernel milliseconds, however few sockets there are, and more
 * on a machine with much memory.
 */
export async function readTcpSockets(): Promise<TcpSockets> {
  const contents = (path: string): Promise<string> =>
    new Promise((resolve) => {
      readFile(path, 'utf8', (error, text) => {
        resolve(error ? '' : text); // no IPv6
      });
    });
  const rows = (await Promise.all(tablesOf('tcp').map(contents))).flatMap(rowsOf);
  return { boundTo: (port) => boundIn(rows, 'tcp', port), kept: keptIn(rows) };
}

function hasDescriptor(pid: number, links: ReadonlySet<string>): boolean {
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

/** @returns the pid of a process that has one of these sockets; `undefined` when none has, or it is not for this user to see */
export function findSocketOwner(sockets: readonly PortEntry[]): number | undefined {
  if (sockets.length === 0) return undefined;
  const links = new Set(sockets.map(({ inode }) => `socket:[${inode}]`));
  return listPids().find((pid) => hasDescriptor(pid, links));
}

/** @returns the pid; `undefined` when no process has the port, or it is not for this user to see */
export const findPortOwner = (protocol: PortProtocol, port: number): number | undefined =>
  findSocketOwner(boundSockets(protocol, port));
