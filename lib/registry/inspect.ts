// SPDX-License-Identifier: MIT
/**
 * Reads what an image is, without its blocks.
 * @module
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isErrno } from '../errno.ts';
import type { ImageCache } from './cache.ts';
import {
  digestOf,
  encryptedDescriptionType,
  isCompressed,
  parseDescription,
  parseManifest,
  type Block,
  type Description,
  type Layer,
} from './format.ts';
import { RegistryError } from './error.ts';
import { directAccess } from './fetch/access.ts';
import type { HttpSourceSpec } from './fetch/http-source.ts';
import { readManifest, readSmallBlob } from './fetch/small.ts';
import { parseReference, type Reference } from './reference.ts';
import { fetchConfig, fetchManifest, type RegistryOptions } from './skopeo.ts';

/** An image in a registry, as far as its manifest and its description tell. */
export interface InspectedImage {
  /** With tag or digest. */
  reference: string;
  /** Of the manifest. */
  digest: string;
  /** What is in it, and what it needs. */
  description: Description;
  /** What is stored: blocks, and the description of an encrypted image. */
  layers: Layer[];
}

/** The image of a reference, and the reference of what was found, which no later push changes. */
export interface FoundImage extends InspectedImage {
  parsed: Reference;
  /** The repository and the manifest's digest. */
  pinned: string;
  /** How its blobs are read without skopeo, as `directAccess` says; asked once. */
  access: () => Promise<HttpSourceSpec | undefined>;
}

/** Blocks that differ, in the order of their layers. */
export const differentBlocks = ({ blocks }: Pick<Description, 'blocks'>): Block[] => [
  ...new Map(blocks.map((block) => [block.digest, block])).values(),
];

/** What a push compresses is smaller, however large the checkpoint is. Bytes. */
const MOST_COMPRESSED = 2 ** 31;

/** Stripes are used as they come, so no one is compressed. */
const isLayerOf = (layer: Layer, { digest, kind, size }: Block): boolean =>
  isCompressed(layer) ? kind !== 'stripe' && size <= MOST_COMPRESSED : layer.digest === digest;

/** Each block has a layer: those that differ, in their order. */
function checkLayers({ description, layers, reference }: InspectedImage): void {
  const blocks = differentBlocks(description);
  const isComplete = description.isEncrypted
    ? layers.at(-1)?.mediaType === encryptedDescriptionType
    : blocks.length === layers.length &&
      blocks.every((block, index) => layers[index] !== undefined && isLayerOf(layers[index], block));
  if (isComplete) return;
  throw new RegistryError('ERR_REGISTRY_IMAGE', `${reference} is damaged: its layers are not its blocks`, {
    hint: 'push the checkpoint again',
  });
}

/** A small blob that an earlier command has kept in the cache. */
function kept(cache: ImageCache | undefined, digest: string | undefined): string | undefined {
  if (!cache || digest === undefined) return undefined;
  const path = cache.blobPath(digest);
  try {
    const text = readFileSync(path, 'utf8');
    if (digestOf(text) !== digest) return undefined;
    cache.touch(path);
    return text;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Keeps a small blob, so that the next command need not ask the registry for it. */
function keep(cache: ImageCache | undefined, digest: string, text: string): void {
  if (!cache) return;
  const path = cache.blobPath(digest);
  const unfinished = `${path}.${process.pid}.part`;
  try {
    rmSync(unfinished, { force: true });
    writeFileSync(unfinished, text, { mode: 0o400, flag: 'wx' });
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error; // a pull that needs room for blocks says so
  }
}

/** What a registry calls the manifest: its digest, or the tag, which every other reference has. */
const nameOf = ({ digest, text }: Reference): string => digest ?? text.slice(text.lastIndexOf(':') + 1);

/**
 * Finds the image. What the cache has of its manifest and description is not asked for: all of it, if the reference has a
 * digest.
 * @throws {@link RegistryError} there is none, or it is not a checkpoint
 */
export async function findImage(
  reference: string,
  options: RegistryOptions,
  cache?: ImageCache,
): Promise<FoundImage> {
  const parsed = parseReference(reference);
  const { signal } = options;
  let asked: Promise<HttpSourceSpec | undefined> | undefined;
  const access = () => (asked ??= directAccess(parsed, options));
  const ownText = kept(cache, parsed.digest);
  const text =
    ownText ??
    (await access().then((spec) => spec && readManifest(spec, nameOf(parsed), signal))) ??
    (await fetchManifest(parsed, options));
  const digest = digestOf(text);
  // until here it is what the registry sends, without a look at its digest
  if (parsed.digest !== undefined && parsed.digest !== digest)
    throw new RegistryError(
      'ERR_REGISTRY_IMAGE',
      `${parsed.text} is another image there: the manifest that the registry sends has the digest ${digest}`,
      { hint: 'use another registry, or push the checkpoint there again' },
    );
  const { config, layers } = parseManifest(text, parsed.text);
  const pinned = `${parsed.registry}/${parsed.repository}@${digest}`;
  const ownDescribed = kept(cache, config.digest);
  const described =
    ownDescribed ??
    (await access().then((spec) => spec && readSmallBlob(spec, config, signal))) ??
    (await fetchConfig(parseReference(pinned), options));
  if (digestOf(described) !== config.digest)
    throw new RegistryError(
      'ERR_REGISTRY_IMAGE',
      `the description of ${parsed.text} has other bytes than its digest ${config.digest} says`,
      { hint: 'push the checkpoint again' },
    );
  const image = {
    ...{ reference: parsed.text, digest, layers, parsed, pinned, access },
    description: parseDescription(described, parsed.text),
  };
  checkLayers(image);
  if (ownText === undefined && kept(cache, digest) === undefined) keep(cache, digest, text);
  if (ownDescribed === undefined) keep(cache, config.digest, described);
  return image;
}

/** Reads what an image is: the driver stack that it needs, its files and blocks. No block is moved. */
export async function inspectImage(
  reference: string,
  options: RegistryOptions = {},
): Promise<InspectedImage> {
  const { digest, description, layers, reference: text } = await findImage(reference, options);
  return { reference: text, digest, description, layers };
}
