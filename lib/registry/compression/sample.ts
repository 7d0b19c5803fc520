// SPDX-License-Identifier: MIT
import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';

const deflate = promisify(deflateRaw);

/** Parts of a block that are tried, evenly spread, and their length. Bytes. */
const PARTS = 8;
const PART_BYTES = 32_768;

/** Below it, decompressing takes longer than moving the bytes: docs/small-images.md. */
const LEAST_RATIO = 1.2;

/**
 * Whether a block becomes enough smaller to be compressed, by parts of it. They are tried with zlib, which finds about what
 * zstd finds, and needs no process.
 * @param size bytes of the block
 * @param readAt reads so many of them, or fewer
 */
export async function isWorthCompressing(
  size: number,
  readAt: (at: number, length: number) => Buffer,
): Promise<boolean> {
  let [tried, compressed] = [0, 0];
  for (let part = 0; part < PARTS; part += 1) {
    const length = Math.min(PART_BYTES, Math.ceil(size / PARTS));
    const bytes = readAt(Math.floor((size / PARTS) * part), length);
    tried += bytes.length;
    compressed += (await deflate(bytes, { level: 1 })).length;
  }
  return tried >= compressed * LEAST_RATIO;
}
