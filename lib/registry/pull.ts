// SPDX-License-Identifier: MIT
/**
 * Pulls an image into the node's cache, and makes an images directory of it.
 * @module
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { checkPath } from '../check.ts';
import { isErrno } from '../errno.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import type { OnTransfer } from '../process/index.ts';
import { decryptFile, digestOfFile } from './age.ts';
import { assemble, DamagedBlockError, type FindBlock } from './directory/assemble.ts';
import { checkSpace, ImageCache, imageDir, pullPrefix, type BlobRef, type CacheOptions } from './cache.ts';
import { checkFound, findAndAsk, type ImageCheck } from './check.ts';
import { decompressFile, requireZstd } from './compression/zstd.ts';
import { RegistryError } from './error.ts';
import { fillCache, judgeImage, type Filled } from './fetch/fill.ts';
import { isRestricted } from './fetch/policy.ts';
import { hexOf, isCompressed, parseDescription, type Description } from './format.ts';
import { differentBlocks, type FoundImage } from './inspect.ts';
import { sizeOf } from './missing.ts';
import type { PeerOptions } from './peers/find.ts';
import { relocate } from './directory/relocate.ts';
import { ArrivingImage, type ReceiveStripes } from './directory/stream.ts';
import type { RegistryOptions } from './skopeo.ts';

/** What to pull, and how. */
export interface PullOptions extends RegistryOptions, CacheOptions, PeerOptions {
  /** File with private keys of age, for an encrypted image. */
  identity?: string | undefined;
  /** Read all blocks that are in the cache, and move those again that have changed. @default only their sizes are compared */
  verify?: boolean | undefined;
  /** Called with the bytes that have arrived. */
  onProgress?: OnTransfer | undefined;
}

/** What was pulled. */
export interface PullResult {
  /** With tag or digest. */
  reference: string;
  /** Of the manifest. */
  digest: string;
  /** Absolute path of the images directory. */
  imagesDir: string;
  /** Bytes of the image's layers that were moved. */
  movedBytes: number;
  /** Bytes of their blocks before compression; of an encrypted image, the same as `movedBytes`. */
  movedBlockBytes: number;
  /** Those of the moved bytes that came from peers, and not from the registry. */
  peerBytes: number;
  /** Bytes of its layers that the cache had already. */
  cachedBytes: number;
  /** About the transfer. */
  warnings: string[];
  /** Whether this machine can restore it, as far as its description tells. */
  check: ImageCheck;
}

/** Decrypts the description and all blocks into a directory. */
async function decryptImage(
  cache: ImageCache,
  { layers, parsed }: FoundImage,
  identity: string | undefined,
  dir: string,
  signal: AbortSignal | undefined,
): Promise<{ description: Description; findBlock: FindBlock }> {
  if (identity === undefined)
    throw new UsageError(`${parsed.text} is encrypted`, 'pass the private key with --identity FILE');
  const last = layers.at(-1);
  const described = join(dir, 'description');
  await decryptFile(cache.blobPath(last?.digest ?? ''), described, identity, signal);
  const description = parseDescription(await readFile(described, 'utf8'), parsed.text);
  const findBlock: FindBlock = ({ digest }) => ({
    ...{ path: join(dir, hexOf(digest)), digest, isCompressed: false },
  });
  for (const [index, block] of differentBlocks(description).entries()) {
    const layer = layers[index];
    if (!layer || layer === last)
      throw new RegistryError('ERR_REGISTRY_IMAGE', `${parsed.text} is damaged: it has too few layers`);
    const { path } = findBlock(block);
    const decrypted = isCompressed(layer) ? join(dir, 'compressed') : path;
    await decryptFile(cache.blobPath(layer.digest), decrypted, identity, signal);
    if (decrypted !== path) {
      await decompressFile(decrypted, path, { digest: layer.digest, size: block.size }, signal);
      rmSync(decrypted);
    }
    if ((await digestOfFile(path)) !== block.digest)
      throw new RegistryError('ERR_REGISTRY_IMAGE', `block ${layer.digest} of ${parsed.text} is another one`);
  }
  return { description, findBlock };
}

/** The blobs of an image that is not encrypted. */
function findInCache(cache: ImageCache, { description, layers }: FoundImage): FindBlock {
  const layerOf = new Map(differentBlocks(description).map(({ digest }, index) => [digest, layers[index]]));
  return (block) => {
    const layer = layerOf.get(block.digest);
    const digest = layer?.digest ?? block.digest;
    return { path: cache.blobPath(digest), digest, isCompressed: layer !== undefined && isCompressed(layer) };
  };
}

/** Bytes that an images directory takes besides the blobs of the cache: what is not a hole of its files. */
function assembledBytes({ blocks }: Description): number {
  const pieces = blocks.flatMap((block) => (block.kind === 'stripe' ? [] : block.pieces));
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** The same where blobs are not linked, but copied. */
function copiedBytes(description: Description): number {
  return description.files.reduce(
    (sum, { size, block }) => sum + (block === undefined ? 0 : size),
    assembledBytes(description),
  );
}

async function build(
  cache: ImageCache,
  image: FoundImage,
  dir: string,
  { identity, signal }: PullOptions,
): Promise<void> {
  const { description, parsed } = image;
  const decrypted = makeTemporaryDirectory('pull-', cache.dir);
  try {
    if (description.isEncrypted) {
      checkSpace(parsed.text, cache.dir, sizeOf(image.layers));
      const plain = await decryptImage(cache, image, identity, decrypted, signal);
      await assemble(plain.description, dir, plain.findBlock, signal);
      return;
    }
    const isSame = statSync(dir).dev === statSync(cache.dir).dev;
    const needed = isSame ? 0 : copiedBytes(description);
    checkSpace(parsed.text, dir, needed);
    await assemble(description, dir, findInCache(cache, image), signal);
  } catch (error) {
    if (error instanceof DamagedBlockError) rmSync(cache.blobPath(error.digest), { force: true });
    throw error;
  } finally {
    removeTemporaryDirectory(decrypted);
  }
}

/** Gives a finished directory its name. @returns whether another command was faster */
function settle(part: string, dir: string): boolean {
  try {
    renameSync(part, dir);
    return true;
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    removeTemporaryDirectory(part);
    return false;
  }
}

/** What layers have before compression, as far as it is known. */
function plainBytes({ description, layers }: FoundImage, moved: readonly BlobRef[]): number {
  const blocks = differentBlocks(description);
  const sizes = new Map(layers.map(({ digest, size }, index) => [digest, blocks[index]?.size ?? size]));
  return moved.reduce((sum, { digest, size }) => sum + (sizes.get(digest) ?? size), 0);
}

/** Moves what is missing, and makes the directory of it meanwhile. @returns what was moved */
async function fillAndBuild(
  cache: ImageCache,
  image: FoundImage,
  part: string,
  dir: string,
  receive: ReceiveStripes,
  options: PullOptions,
): Promise<Filled> {
  const failed = new AbortController();
  const arriving = new ArrivingImage({
    ...{ cache, description: image.description, layers: image.layers, dir: part, receive },
    findBlock: findInCache(cache, image),
    mayRestore: !isRestricted(image.parsed, process.env),
    settle: async () => {
      await relocate(part, dir);
      settle(part, dir);
    },
    onFailure: (error) => {
      failed.abort(error);
    },
  });
  const { signal } = options;
  const both = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  both.addEventListener('abort', () => {
    arriving.stop(both.reason);
  });
  try {
    return await fillCache(cache, image, { ...options, signal: both }, arriving);
  } catch (error) {
    arriving.stop(error);
    throw error;
  } finally {
    await arriving.close();
  }
}

function resultOf(image: FoundImage, dir: string, check: ImageCheck, filled: Filled): PullResult {
  const { parsed, digest, layers } = image;
  const { moved, peerBytes, warnings } = filled;
  const different = [...new Map(layers.map((one) => [one.digest, one])).values()];
  return {
    ...{ reference: parsed.text, digest, imagesDir: dir, check, peerBytes, warnings },
    movedBytes: sizeOf(moved),
    movedBlockBytes: plainBytes(image, moved),
    cachedBytes: sizeOf(different) - sizeOf(moved),
  };
}

async function pullFound(
  cache: ImageCache,
  image: FoundImage,
  dir: string,
  check: ImageCheck,
  options: CacheImageOptions,
): Promise<PullResult> {
  if (image.layers.some(isCompressed)) requireZstd();
  const { receive } = options;
  const part = makeTemporaryDirectory(pullPrefix(dir), dirname(dir));
  let filled: Filled;
  try {
    filled =
      receive && !image.description.isEncrypted
        ? await fillAndBuild(cache, image, part, dir, (one) => receive(one, check), options)
        : await fillCache(cache, image, options);
    if (!existsSync(join(dir, 'inventory.img'))) {
      await build(cache, image, part, options);
      await relocate(part, dir);
      settle(part, dir);
    }
  } finally {
    removeTemporaryDirectory(part);
  }
  return resultOf(image, dir, check, filled);
}

function checkTarget(dir: string): void {
  const stat = statSync(dir, { throwIfNoEntry: false });
  if (stat && !stat.isDirectory()) throw new UsageError(`${dir} is not a directory`);
  if (stat && readdirSync(dir).length > 0)
    throw new UsageError(`${dir} is not empty`, 'pull into a directory that does not exist yet');
  if (!existsSync(dirname(dir))) throw new UsageError(`${dirname(dir)} does not exist`);
}

/**
 * Pulls an image into a directory that does not exist or is empty. It is there when all of it is there. What the cache has
 * is not moved again: blocks of other images, and those that came before an interruption.
 * @throws {@link RegistryError} the registry refuses, cannot be reached, or has damaged bytes
 */
export async function pullImage(
  reference: string,
  imagesDir: string,
  options: PullOptions = {},
): Promise<PullResult> {
  checkPath('directory', imagesDir);
  const dir = resolve(imagesDir);
  checkTarget(dir);
  const cache = new ImageCache(options);
  const { image, machine } = await findAndAsk(reference, options, cache);
  return pullFound(cache, image, dir, await checkFound(image, options, machine), options);
}

/** @throws {@link EnvironmentError} with everything that is in the way */
function refuse({ reference, problems }: ImageCheck): void {
  if (problems.length === 0) return;
  throw new EnvironmentError(
    `this machine cannot restore ${reference}: ${problems.map(({ text }) => text).join('; ')}`,
    problems.map(({ text, remedy }) => ({ what: text, remedy: remedy ?? 'choose another machine' })),
  );
}

/** How to fill the cache. */
export interface CacheImageOptions extends PullOptions {
  /** Refuse an image that this machine cannot restore, before anything is moved. @default false */
  mustRestore?: boolean | undefined;
  /**
   * Takes stripes while others still arrive; called only if something has to be moved. It also gets what this machine has
   * for the image.
   * @default nothing does
   */
  receive?: ((dir: string, check: ImageCheck) => ReturnType<ReceiveStripes>) | undefined;
}

/**
 * Pulls an image into the cache, as an images directory that restores and pools can use there.
 * @throws {@link RegistryError} the registry refuses, cannot be reached, or has damaged bytes
 * @throws {@link EnvironmentError} this machine cannot restore it, with `mustRestore`
 */
export async function cacheImage(reference: string, options: CacheImageOptions = {}): Promise<PullResult> {
  const cache = new ImageCache(options);
  const { image, machine } = await findAndAsk(reference, options, cache);
  const check = await checkFound(image, options, machine);
  if (options.mustRestore === true) refuse(check);
  const dir = imageDir(options, image.digest);
  if (existsSync(dir)) {
    cache.touch(dir);
    return resultOf(image, dir, check, await judgeImage(cache, image, options));
  }
  cache.makeRoom(image.parsed.text, assembledBytes(image.description), image.layers);
  return pullFound(cache, image, dir, check, options);
}
