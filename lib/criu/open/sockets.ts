// SPDX-License-Identifier: MIT
/** Sockets of a dumped tree that have a name or a port. @module */
import { join } from 'node:path';
import { FileEntrySchema } from '../gen/images_pb.ts';
import { readImage } from '../image.ts';

/** CRIU's numbers, from its criu/sk-unix.c: the socket of a process outside the tree. */
const OUTSIDE = 0b101;
const TCP_LISTEN = 10;

/** Paths of the Unix sockets that processes of the tree have bound, each once. */
export function readSocketPaths(dir: string): string[] {
  const files = readImage(join(dir, 'files.img'), 'files', FileEntrySchema) ?? [];
  const paths = files.flatMap(({ usk }) => {
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

/** TCP ports at which the tree listens, ascending. */
export function readListeningPorts(dir: string): number[] {
  const files = readImage(join(dir, 'files.img'), 'files', FileEntrySchema) ?? [];
  const ports = files.flatMap(({ isk }) => (isk?.state === TCP_LISTEN && isk.srcPort ? [isk.srcPort] : []));
  return [...new Set(ports)].sort((one, other) => one - other);
}
