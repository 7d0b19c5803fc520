// SPDX-License-Identifier: MIT
/**
 * Changes where manifests say that memory is. Chunks, their checksums and everything else stay.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { ManifestSchema } from './gen/image_pb.ts';
import { PageManifestSchema } from './gen/pages_pb.ts';
import { decodeRawManifest, encodeManifest } from './manifest.ts';

/** Where a chunk is. */
export interface ChunkPlace {
  /** Number of the stripe. */
  stripe: number;
  /** First byte in it. */
  offset: number;
}

/**
 * Gives a GPU image other stripes.
 * @param path of the manifest
 * @param places of the chunks that are not zero, in their order
 * @param sizes of the new stripes, in bytes
 * @returns the new manifest, with its head
 */
export async function moveChunks(
  path: string,
  places: readonly ChunkPlace[],
  sizes: readonly number[],
): Promise<Buffer> {
  const { message, version } = decodeRawManifest(await readFile(path), path, 'GPU', ManifestSchema);
  const stored = message.chunks.filter(({ zero }) => !zero);
  if (stored.length !== places.length)
    throw new Error(`${path} has ${stored.length} chunks, and ${places.length} were read`);
  for (const [index, chunk] of stored.entries()) {
    const { stripe = 0, offset = 0 } = places[index] ?? {};
    chunk.stripe = stripe;
    chunk.offset = BigInt(offset);
  }
  message.stripeSizes = sizes.map(BigInt);
  return encodeManifest(message, version, 'GPU', ManifestSchema);
}

/** The manifest of a page file that is in another directory now. @param path of the manifest */
export async function movePageFile(path: string, directory: string): Promise<Buffer> {
  const { message, version } = decodeRawManifest(await readFile(path), path, 'page', PageManifestSchema);
  message.directory = directory;
  return encodeManifest(message, version, 'page', PageManifestSchema);
}
