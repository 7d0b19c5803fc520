// SPDX-License-Identifier: MIT
import type { BlobRef } from '../cache.ts';
import { BlobError } from '../fetch/blob.ts';
import { fetchBlobs, type FetchOptions } from '../fetch/fetch.ts';
import { RegistryError } from '../error.ts';
import type { PeersSpec } from './source.ts';

/**
 * Moves what peers have of some blobs into the cache, where only skopeo can ask the registry. What they do not have, or send
 * wrong, is left to it.
 * @throws {@link RegistryError} the cache cannot take it
 */
export async function fillFromPeers(
  blobs: readonly BlobRef[],
  spec: PeersSpec,
  fetching: Omit<FetchOptions, 'sources' | 'mayMiss'>,
): Promise<void> {
  try {
    await fetchBlobs(blobs, { ...fetching, sources: [spec], mayMiss: true });
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    throw new RegistryError('ERR_REGISTRY', `cannot keep blocks of peers: ${error.message}`, {
      hint: 'free space there, or choose another file system with --cache DIR',
    });
  }
}
