// SPDX-License-Identifier: MIT
/** Sockets of a dumped tree that have a name or a port. @module */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { InetSkEntry } from '../gen/images_pb.ts';
import { readFilesOf } from './files-image.ts';
import { addressText, type BoundSocket } from './open-files.ts';

/** CRIU's numbers, those of inet sockets being the kernel's; from its criu/sk-unix.c: the socket of a process outside the tree. */
const OUTSIDE = 0b101;
const TCP_LISTEN = 10;
const IPPROTO_TCP = 6;

/** Paths of the Unix sockets that processes of the tree have bound, each once. */
export function readSocketPaths(dir: string): string[] {
  const paths = readFilesOf(dir, 'unixSocket').flatMap(({ usk }) => {
    // an abstract name begins with a NUL; others may end with one
    const name = Buffer.from(usk?.name ?? [])
      .toString()
      .replace(/\0+$/, '');
    if (name === '' || name.startsWith('\0') || ((usk?.uflags ?? 0) & OUTSIDE) !== 0) return [];
    const path = name.startsWith('/') || usk?.nameDir === undefined ? name : join(usk.nameDir, name);
    return path.startsWith('/') ? [path] : [];
  });
  return [...new Set(paths)];
}

/** A TCP socket that listens. */
export interface ListeningSocket extends BoundSocket {
  /** Others that ask for it, too, may have the same port. */
  sharesPort: boolean;
}

const listeners = (dir: string): InetSkEntry[] =>
  readFilesOf(dir, 'inetSocket').flatMap(({ isk }) =>
    isk?.proto === IPPROTO_TCP && isk.state === TCP_LISTEN && isk.srcPort ? [isk] : [],
  );

/** TCP ports at which the tree listens, ascending. */
export const readListeningPorts = (dir: string): number[] =>
  [...new Set(listeners(dir).map(({ srcPort = 0 }) => srcPort))].sort((one, other) => one - other);

/**
 * Every TCP socket that listened, in the network namespace of the restore.
 * @returns none for a tree that had a network namespace of its own: its ports are free in a new one
 */
export function readListening(dir: string): ListeningSocket[] {
  if (!existsSync(dir) || readdirSync(dir).some((name) => /^netdev-\d+\.img$/.test(name))) return [];
  return listeners(dir).map(({ srcAddr, srcPort = 0, opts }) => ({
    ...{ protocol: 'tcp' as const, address: addressText(srcAddr), port: srcPort },
    sharesPort: opts?.soReuseport === true,
  }));
}
