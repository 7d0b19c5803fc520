// SPDX-License-Identifier: MIT
/** Which blobs a pull has to move. @module */
import { rmSync } from 'node:fs';
import { digestOfFile } from './age.ts';
import type { BlobRef, ImageCache } from './cache.ts';

/** Layers that are not in the cache, each once. */
export async function missingLayers(
  cache: ImageCache,
  layers: readonly BlobRef[],
  verify: boolean,
): Promise<BlobRef[]> {
  const different = [...new Map(layers.map((one) => [one.digest, one])).values()];
  const missing: BlobRef[] = [];
  for (const layer of different) {
    const path = cache.blobPath(layer.digest);
    if (!cache.has(layer)) missing.push(layer);
    else if (verify && (await digestOfFile(path)) !== layer.digest) {
      rmSync(path, { force: true });
      missing.push(layer);
    } else cache.touch(path);
  }
  return missing;
}

/** Bytes of all of them. */
export const sizeOf = (blobs: readonly BlobRef[]): number => blobs.reduce((sum, { size }) => sum + size, 0);
