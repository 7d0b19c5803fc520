// SPDX-License-Identifier: MIT
import { open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { deflateRaw } from 'node:zlib';

const deflate = promisify(deflateRaw);

/** Parts of a file that are tried, evenly spread, and their length. Bytes. */
const PARTS = 8;
const PART_BYTES = 32_768;

/** Below it, decompressing takes longer than moving the bytes: docs/small-images.md. */
const LEAST_RATIO = 1.2;

/**
 * Whether a file becomes enough smaller to be compressed, by parts of it. They are tried with zlib, which finds about what
 * zstd finds, and needs no process.
 */
export async function isWorthCompressing(path: string, size: number): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    let [tried, compressed] = [0, 0];
    for (let part = 0; part < PARTS; part += 1) {
      const bytes = Buffer.alloc(Math.min(PART_BYTES, Math.ceil(size / PARTS)));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, Math.floor((size / PARTS) * part));
      tried += bytesRead;
      compressed += (await deflate(bytes.subarray(0, bytesRead), { level: 1 })).length;
    }
    return tried >= compressed * LEAST_RATIO;
  } finally {
    await file.close();
  }
}
