// SPDX-License-Identifier: MIT
import type { BlobRef } from '../cache.ts';
import { BlobError } from '../fetch/blob.ts';
import { fetchBlobs, type FetchOptions } from '../fetch/fetch.ts';
import { RegistryError } from '../error.ts';
import { findPeers, type PeerOptions } from './find.ts';

/** What peers have sent. */
export interface FromPeers {
  /** Bytes of whole blobs. */
  bytes: number;
  /** Which peers were not asked, and why. */
  warnings: string[];
}

/**
 * Moves what peers have of some blobs into the cache. What they do not have, or send wrong, is left to the registry.
 * @throws {@link UsageError} the key or an address cannot be used
 * @throws {@link RegistryError} the cache cannot take it
 */
export async function fillFromPeers(
  blobs: readonly BlobRef[],
  options: PeerOptions,
  fetching: Omit<FetchOptions, 'sources' | 'mayMiss'>,
): Promise<FromPeers> {
  const { spec, warnings } = await findPeers(options, fetching.signal);
  let bytes = 0;
  if (!spec) return { bytes, warnings };
  const onBlob = (blob: BlobRef): void => {
    bytes += blob.size;
    fetching.onBlob?.(blob);
  };
  try {
    await fetchBlobs(blobs, { ...fetching, sources: [spec], mayMiss: true, onBlob });
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    throw new RegistryError('ERR_REGISTRY', `cannot keep blocks of peers: ${error.message}`, {
      hint: 'free space there, or choose another file system with --cache DIR',
    });
  }
  return { bytes, warnings };
}
