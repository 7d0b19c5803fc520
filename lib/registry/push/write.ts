// SPDX-License-Identifier: MIT
/** Describes blocks by the SHA-256 of their bytes, and writes them to files where that is needed. @module */
import { createHash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { hexOf, type Block, type Piece } from '../format.ts';
import type { PlannedBlock } from './blocks.ts';
import { Reader, zeroes } from './read.ts';

function writeAll(file: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
}

function readBlock(dir: string, { kind, parts, size }: PlannedBlock, take: (run: Buffer) => void): Block {
  const whole = createHash('sha256');
  const pieces: Piece[] = [];
  const reader = new Reader(dir);
  let offset = 0;
  try {
    for (const { target, end, ...range } of parts) {
      const own = target && createHash('sha256');
      for (const run of reader.runs(range)) {
        whole.update(run);
        own?.update(run);
        take(run);
      }
      const { length } = range;
      if (own) pieces.push({ offset, length, sha256: own.digest('hex'), ...target });
      for (const run of zeroes(end - offset - length)) {
        whole.update(run);
        take(run);
      }
      offset = end;
    }
  } finally {
    reader.close();
  }
  const digest = `sha256:${whole.digest('hex')}`;
  // a stripe is used as it is, and only when all of it is there: no part needs a checksum that is computed for it alone
  if (kind === 'stripe') pieces.push({ offset: 0, length: size, sha256: hexOf(digest) });
  return { kind, digest, size, pieces };
}

/** Reads a block, and writes nothing. */
export const describeBlock = (dir: string, planned: PlannedBlock): Block =>
  readBlock(dir, planned, () => undefined);

/** Writes a block to a file that does not exist. */
export function writeBlock(dir: string, planned: PlannedBlock, path: string): Block {
  const file = openSync(path, 'wx', 0o600);
  try {
    return readBlock(dir, planned, (run) => {
      writeAll(file, run);
    });
  } finally {
    closeSync(file);
  }
}
