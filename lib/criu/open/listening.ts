// SPDX-License-Identifier: MIT
/**
 * The TCP ports on which a dumped tree listened.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { FileEntrySchema } from '../gen/images_pb.ts';
import { readImage } from '../image.ts';
import { addressText, type BoundSocket } from './open-files.ts';

/** CRIU's numbers, which are those of the kernel. */
const TCP_LISTEN = 10;
const IPPROTO_TCP = 6;

/** A TCP socket that listens. */
export interface ListeningSocket extends BoundSocket {
  /** Others that ask for it, too, may have the same port. */
  sharesPort: boolean;
}

/**
 * Every TCP socket that listened, in the network namespace of the restore.
 * @returns none for a tree that had a network namespace of its own: its ports are free in a new one
 */
export function readListening(dir: string): ListeningSocket[] {
  if (!existsSync(dir) || readdirSync(dir).some((name) => /^netdev-\d+\.img$/.test(name))) return [];
  const files = readImage(join(dir, 'files.img'), 'files', FileEntrySchema) ?? [];
  return files.flatMap(({ isk }) => {
    if (isk?.proto !== IPPROTO_TCP || isk.state !== TCP_LISTEN || !isk.srcPort) return [];
    const address = addressText(isk.srcAddr);
    return [
      { protocol: 'tcp' as const, address, port: isk.srcPort, sharesPort: isk.opts?.soReuseport === true },
    ];
  });
}
