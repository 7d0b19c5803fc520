// SPDX-License-Identifier: MIT
/**
 * Brings the blobs of an image that are missing into the cache: by our own connections where nothing but HTTP is needed for
 * that, or else with skopeo. One command at a time does so for a cache.
 * @module
 */
import { existsSync, rmSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../../directory.ts';
import { bytesOfFiles, watchTransfer, type OnTransfer, type ReadTransfer } from '../../process/index.ts';
import type { BlobRef, ImageCache } from '../cache.ts';
import { RegistryError } from '../error.ts';
import { hexOf } from '../format.ts';
import type { FoundImage } from '../inspect.ts';
import { createLayout, digestsDir } from '../layout.ts';
import { missingLayers, sizeOf } from '../missing.ts';
import { fillFromPeers } from '../peers/fill.ts';
import { findPeers, type PeerOptions } from '../peers/find.ts';
import { nodeId, orderFor, type NodePlace } from '../peers/order.ts';
import type { PeersSpec } from '../peers/source.ts';
import { pullLayout, type RegistryOptions } from '../skopeo.ts';
import { BlobError, partPath } from './blob.ts';
import { fetchBlobs } from './fetch.ts';
import type { HttpSourceSpec } from './http-source.ts';
import { withLock } from './lock.ts';
import { whileItComes } from './pace.ts';
import { isRestricted } from './policy.ts';

/** How the cache is filled. */
export interface FillOptions extends RegistryOptions, PeerOptions {
  /** Read all blobs that are in the cache, and move those again that have changed. */
  verify?: boolean | undefined;
  /** Called with the bytes that have arrived. */
  onProgress?: OnTransfer | undefined;
}

/** What a fill does, and is told. */
interface Filling {
  cache: ImageCache;
  image: FoundImage;
  missing: BlobRef[];
  /** Other nodes, which are asked first. */
  peers: PeersSpec | undefined;
  /** Bytes that have come before. */
  beforeBytes: number;
  options: FillOptions;
  /** @param isOfPeer another node had it */
  onBlob: (blob: BlobRef, isOfPeer: boolean) => void;
}

async function watched<T>(read: ReadTransfer, { options }: Filling, work: () => Promise<T>): Promise<T> {
  const { onProgress } = options;
  const stop = onProgress && watchTransfer(read, onProgress);
  try {
    return await work();
  } finally {
    stop?.();
  }
}

/** What other nodes have. */
async function fillWithPeers(filling: Filling, peers: PeersSpec): Promise<void> {
  const { cache, missing, options, onBlob } = filling;
  let arrivedBytes = (): number => 0;
  const read = () => ({ doneBytes: arrivedBytes(), totalBytes: sizeOf(missing) });
  await watched(read, filling, () =>
    fillFromPeers(missing, peers, {
      ...{ dir: digestsDir(cache.blobsDir), signal: options.signal },
      onBlob: (blob) => {
        onBlob(blob, true);
      },
      onStart: (arrived) => (arrivedBytes = arrived),
    }),
  );
}

/** What other nodes have, and the rest from the registry, blob by blob. @returns false where skopeo may know better */
async function fillDirectly(filling: Filling, source: HttpSourceSpec): Promise<boolean> {
  const { cache, image, missing, peers, options, onBlob } = filling;
  const sources = peers ? [peers, source] : [source];
  let arrivedBytes = (): number => 0;
  const read = () => ({ doneBytes: arrivedBytes(), totalBytes: sizeOf(missing) });
  const what = `cannot pull ${image.parsed.text}`;
  try {
    await watched(read, filling, () =>
      fetchBlobs(missing, {
        ...{ dir: digestsDir(cache.blobsDir), sources, signal: options.signal },
        onBlob: (blob, index) => {
          onBlob(blob, sources[index] === peers);
        },
        onStart: (arrived) => (arrivedBytes = arrived),
      }),
    );
    return true;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    const { failure, message } = error;
    if (failure === 'unfit' || failure === 'absent') return false;
    if (failure === 'wrong')
      throw new RegistryError('ERR_REGISTRY_IMAGE', `${what}: ${message}`, {
        hint: 'push the image again, or delete it there first',
      });
    throw new RegistryError('ERR_REGISTRY', `${what}: ${message}`, {
      hint:
        failure === 'refused'
          ? 'use a registry whose store has TLS, or accept that with --plain-http'
          : failure === 'local'
            ? 'free space there, or choose another file system with --cache DIR'
            : 'check that the registry runs; the next attempt continues with what is missing',
    });
  }
}

async function fillWithSkopeo(filling: Filling): Promise<void> {
  const { cache, image, missing, options, onBlob, beforeBytes } = filling;
  const { parsed, pinned } = image;
  const dir = digestsDir(cache.blobsDir);
  for (const { digest } of missing) rmSync(partPath(dir, hexOf(digest)), { force: true });
  const temporary = makeTemporaryDirectory('pull-', cache.dir);
  const waiting = new Map(missing.map((one) => [hexOf(one.digest), one]));
  const settle = (name: string): void => {
    const blob = waiting.get(name);
    if (!blob || !existsSync(join(dir, name))) return;
    waiting.delete(name);
    onBlob(blob, false);
  };
  const watcher = watch(dir, (_, name) => {
    if (name !== null) settle(name);
  });
  const read = () => {
    const arriving = bytesOfFiles(join(temporary, 'layout'), /^oci-put-blob/).size;
    const doneBytes = beforeBytes + sizeOf(missing) - sizeOf([...waiting.values()]) + arriving;
    return { doneBytes, totalBytes: beforeBytes + sizeOf(missing) };
  };
  try {
    const place = { dir: createLayout(temporary).dir, blobsDir: cache.blobsDir };
    await watched(read, filling, () =>
      whileItComes(`cannot pull ${parsed.text}`, read, options.signal, (signal) =>
        pullLayout(place, pinned, parsed, { ...options, signal }),
      ),
    );
    for (const name of [...waiting.keys()]) settle(name);
  } finally {
    watcher.close();
    removeTemporaryDirectory(temporary);
  }
}

/** Bytes of blobs that an interrupted pull has left. */
function leftBytes(cache: ImageCache, blobs: readonly BlobRef[]): number {
  const dir = digestsDir(cache.blobsDir);
  return blobs.reduce((sum, { digest }) => {
    const stat = statSync(partPath(dir, hexOf(digest)), { throwIfNoEntry: false });
    return sum + (stat?.size ?? 0);
  }, 0);
}

/** What was moved. */
export interface Filled {
  moved: BlobRef[];
  /** Bytes of it that came from peers. */
  peerBytes: number;
  /** Messages for the user. */
  warnings: string[];
}

const nothing: Readonly<Filled> = { moved: [], peerBytes: 0, warnings: [] };

/**
 * From peers and from the registry. Where our own connections cannot ask the registry, or must not because skopeo judges the
 * image, skopeo moves what peers do not have.
 */
async function fillFromAll(filling: Filling): Promise<void> {
  const { cache, image, missing, peers } = filling;
  const isJudged = isRestricted(image.parsed, process.env);
  const source = isJudged ? undefined : await image.access();
  if (source && (await fillDirectly(filling, source))) return;
  if (peers) await fillWithPeers({ ...filling, missing: await missingLayers(cache, missing, false) }, peers);
  const left = await missingLayers(cache, missing, false);
  const beforeBytes = sizeOf(missing) - sizeOf(left);
  if (left.length > 0 || isJudged) await fillWithSkopeo({ ...filling, missing: left, beforeBytes });
}

/** Has skopeo judge an image all of whose blobs are here: it moves nothing then. */
async function judge(cache: ImageCache, image: FoundImage, options: FillOptions): Promise<void> {
  if (!isRestricted(image.parsed, process.env)) return;
  await fillWithSkopeo({
    ...{ cache, image, missing: [], peers: undefined, beforeBytes: 0, options },
    onBlob: () => undefined,
  });
}

/** What is done with blobs while others still come. The lock of the cache is held meanwhile. */
export interface Arriving {
  /** In which order blobs are moved: less is earlier. */
  rank(blob: BlobRef): number;
  /** Blobs that are not moved. */
  begin(present: BlobRef[]): void;
  /** One has come. */
  arrived(blob: BlobRef): void;
  /** All have come. */
  end(): Promise<void>;
}

/** Orders blobs by their rank, and those of a rank for the place of this node. */
function inOrder(blobs: readonly BlobRef[], place: NodePlace, arriving: Arriving | undefined): BlobRef[] {
  const rankOf = (blob: BlobRef): number => arriving?.rank(blob) ?? 0;
  const ranks = [...new Set(blobs.map(rankOf))].sort((a, b) => a - b);
  return ranks.flatMap((rank) =>
    orderFor(
      blobs.filter((blob) => rankOf(blob) === rank),
      place,
    ),
  );
}

/**
 * Moves what is missing into the cache: from peers, and the rest from the registry.
 * @param arriving gets blobs as they come; is not called if there is nothing to move
 */
export async function fillCache(
  cache: ImageCache,
  image: FoundImage,
  options: FillOptions,
  arriving?: Arriving,
): Promise<Filled> {
  const { layers, parsed } = image;
  if ((await missingLayers(cache, layers, options.verify === true)).length === 0) {
    await judge(cache, image, options);
    return nothing;
  }
  return withLock(cache.lock, options.signal, async () => {
    // another command may have brought them
    const missing = await missingLayers(cache, layers, false);
    if (missing.length === 0) {
      await judge(cache, image, options);
      return nothing;
    }
    cache.makeRoom(parsed.text, sizeOf(missing) - leftBytes(cache, missing), layers);
    const { spec: peers, place, warnings } = await findPeers(options, options.signal, nodeId(cache.dir));
    const digests = new Set(missing.map(({ digest }) => digest));
    arriving?.begin(layers.filter(({ digest }) => !digests.has(digest)));
    let peerBytes = 0;
    const onBlob = (blob: BlobRef, isOfPeer: boolean): void => {
      cache.keep(blob.digest);
      if (isOfPeer) peerBytes += blob.size;
      arriving?.arrived(blob);
    };
    const ordered = inOrder(missing, place, arriving);
    await fillFromAll({
      ...{ cache, image, peers, options, onBlob },
      missing: ordered,
      beforeBytes: 0,
    });
    for (const one of missing) {
      if (!cache.has(one))
        throw new RegistryError('ERR_REGISTRY', `block ${one.digest} of ${parsed.text} did not arrive`, {
          hint: 'pull the image again',
        });
    }
    await arriving?.end();
    return { moved: missing, peerBytes, warnings };
  });
}

/**
 * Has skopeo judge an image that has a directory here, where the machine has a policy for such images: what is in the cache
 * may have come under another policy, or from peers. skopeo wants all blobs, so those that the cache has removed since come again.
 * @throws {@link RegistryError} the policy refuses it, or the registry does not answer
 */
export async function judgeImage(
  cache: ImageCache,
  image: FoundImage,
  options: FillOptions,
): Promise<Filled> {
  return isRestricted(image.parsed, process.env) ? fillCache(cache, image, options) : nothing;
}
