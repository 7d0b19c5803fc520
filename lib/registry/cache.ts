// SPDX-License-Identifier: MIT
/**
 * The node's cache of blobs, which images share: each is one file, named by its digest, and images directories have hard
 * links to it. What was used least lately goes first when there is no room.
 * @module
 */
import { chmodSync, lstatSync, readdirSync, realpathSync, rmSync, utimesSync, type Stats } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { makeDirectory, removeFile } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import { fileSystemRoom } from '../machine/index.ts';
import { formatBytes } from '../output.ts';
import { untrustedPart } from '../own-cache.ts';
import { cacheDir } from '../paths.ts';
import { hexOf } from './format.ts';

/** Where blobs are kept on this node, and how many. */
export interface CacheOptions {
  /** Directory of the cache. @default `images` in the user's cache of criu-cuda */
  cache?: string | undefined;
  /** Most bytes that it may have. @default half of its file system, or of the memory where a tmpfs has no limit */
  cacheBudget?: number | undefined;
}

/** A blob, as manifests describe it. */
export interface BlobRef {
  digest: string;
  size: number;
}

/** What a cache has. */
export interface CacheUse {
  /** Absolute path. */
  dir: string;
  /** Bytes of blobs and of images directories; shared ones once. */
  bytes: number;
  /** Most bytes that it may have. */
  budgetBytes: number;
}

/** What another command may be using. Milliseconds. */
const IN_USE_MS = 10 * 60 * 1000;

/** No command works on one image that long. Milliseconds. */
const LEFT_MS = 24 * 3600 * 1000;

interface Entry {
  path: string;
  bytes: number;
  usedMs: number;
  isImage: boolean;
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/** What removing a directory of files frees: files that the cache has as well are its blobs. */
function ownBytes(dir: string): number {
  return readdirSync(dir).reduce((sum, name) => {
    const stat = statOf(join(dir, name));
    return sum + (stat?.nlink === 1 ? stat.blocks * 512 : 0);
  }, 0);
}

const cachePlace = ({ cache }: CacheOptions): string => resolve(cache ?? join(cacheDir(), 'images'));

/** The images directory of an image with this digest of its manifest. */
export const imageDir = (options: CacheOptions, digest: string): string =>
  join(cachePlace(options), 'images', hexOf(digest));

/** How the name of a directory begins that will become an images directory, beside that one. */
export const pullPrefix = (dir: string): string => `.${basename(dir)}.pull-`;

/** The cache of this node. */
export class ImageCache {
  readonly dir: string;
  readonly blobsDir: string;
  readonly imagesDir: string;
  /** Held by the one command that moves blobs into it. */
  readonly lock: string;
  readonly #budget: number | undefined;

  /** @throws {@link UsageError} another user may change it */
  constructor(options: CacheOptions) {
    this.dir = cachePlace(options);
    this.blobsDir = join(this.dir, 'blobs');
    this.imagesDir = join(this.dir, 'images');
    this.lock = join(this.dir, 'lock');
    this.#budget = options.cacheBudget;
    for (const one of [this.dir, this.blobsDir, join(this.blobsDir, 'sha256'), this.imagesDir])
      makeDirectory(one, 0o700);
    const untrusted = untrustedPart(realpathSync(this.dir));
    if (untrusted !== undefined)
      throw new UsageError(
        `${this.dir} is refused as a cache: other users may change ${untrusted}`,
        'name a directory of your own with --cache DIR',
      );
  }

  /** The file of a blob. */
  blobPath(digest: string): string {
    return join(this.blobsDir, 'sha256', hexOf(digest));
  }

  /** Whether the blob is there. One of another size is removed. */
  has({ digest, size }: BlobRef): boolean {
    const path = this.blobPath(digest);
    const stat = statOf(path);
    if (!stat) return false;
    if (stat.isFile() && stat.size === size) return true;
    removeFile(path);
    return false;
  }

  /** Says that a blob or an images directory is used now. */
  touch(path: string): void {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }

  /** A blob has just come: nobody changes it, and it is used. */
  keep(digest: string): void {
    const path = this.blobPath(digest);
    chmodSync(path, 0o400);
    this.touch(path);
  }

  #entries(): Entry[] {
    const list = (dir: string, isImage: boolean): Entry[] =>
      readdirSync(dir).flatMap((name) => {
        if (name.startsWith('.')) return []; // it is being made
        const path = join(dir, name);
        const stat = statOf(path);
        if (!stat) return [];
        return [{ path, bytes: isImage ? ownBytes(path) : stat.size, usedMs: stat.mtimeMs, isImage }];
      });
    return [...list(this.imagesDir, true), ...list(join(this.blobsDir, 'sha256'), false)];
  }

  get budgetBytes(): number {
    return this.#budget ?? fileSystemRoom(this.dir).totalBytes / 2;
  }

  use(): CacheUse {
    const bytes = this.#entries().reduce((sum, one) => sum + one.bytes, 0);
    return { dir: this.dir, bytes, budgetBytes: this.budgetBytes };
  }

  /**
   * Removes what was used least lately.
   * @param withShared blobs, too, that images directories have links to: there they stay
   */
  #evict(needed: number, kept: ReadonlySet<string>, withShared: boolean): void {
    let free = this.budgetBytes - this.use().bytes;
    const now = Date.now();
    for (const one of this.#entries().sort((a, b) => a.usedMs - b.usedMs)) {
      if (free >= needed) return;
      const isShared = !one.isImage && (statOf(one.path)?.nlink ?? 1) > 1;
      const isKept = kept.has(one.path) || now - one.usedMs < IN_USE_MS;
      if (isKept || (isShared && !withShared)) continue;
      rmSync(one.path, { recursive: true, force: true });
      free += one.bytes;
    }
  }

  /** What a killed command has left. */
  #removeLeftovers(): void {
    const isOld = (path: string): boolean => Date.now() - (statOf(path)?.mtimeMs ?? Infinity) > LEFT_MS;
    const left = [
      ...readdirSync(this.dir)
        .filter((name) => /^(?:pull|work)-/.test(name))
        .map((name) => join(this.dir, name)),
      ...[this.imagesDir, join(this.blobsDir, 'sha256')].flatMap((dir) =>
        readdirSync(dir)
          .filter((name) => name.startsWith('.'))
          .map((name) => join(dir, name)),
      ),
    ];
    for (const path of left.filter(isOld)) rmSync(path, { recursive: true, force: true });
  }

  /**
   * Makes room for bytes that are about to come.
   * @param blobs of the image that they are for, which stay
   * @throws {@link EnvironmentError} there is not enough
   */
  makeRoom(what: string, neededBytes: number, blobs: readonly BlobRef[]): void {
    const kept = new Set(blobs.map(({ digest }) => this.blobPath(digest)));
    this.#removeLeftovers();
    // what cannot fit into an empty cache empties none
    if (neededBytes > this.budgetBytes) throw overBudget(what, this, neededBytes, this.use().bytes);
    const free = (): number => this.budgetBytes - this.use().bytes;
    // an image that goes may leave blobs that can go then
    for (const withShared of [false, false, true])
      if (free() < neededBytes) this.#evict(neededBytes, kept, withShared);
    const { bytes } = this.use();
    if (free() < neededBytes) throw overBudget(what, this, neededBytes, bytes);
    checkSpace(what, this.dir, neededBytes);
  }
}

function overBudget(
  what: string,
  cache: ImageCache,
  neededBytes: number,
  usedBytes: number,
): EnvironmentError {
  return new EnvironmentError(
    `${what} needs ${formatBytes(neededBytes)} in the cache ${cache.dir}, which has ${formatBytes(usedBytes)} of its budget of ${formatBytes(cache.budgetBytes)} in use`,
    [
      {
        what: 'room in the cache',
        remedy: 'pass --cache-budget SIZE, or --cache DIR on another file system',
      },
    ],
  );
}

/**
 * Why an image does not fit into the cache, whatever is removed from it.
 * @param imageBytes of all its blobs
 */
export function spaceProblem(
  what: string,
  cache: ImageCache,
  missingBytes: number,
  imageBytes: number,
): EnvironmentError | undefined {
  if (imageBytes > cache.budgetBytes) return overBudget(what, cache, imageBytes, 0);
  if (missingBytes === 0) return undefined;
  const { freeBytes } = fileSystemRoom(cache.dir);
  const removable = cache.use().bytes - (imageBytes - missingBytes);
  if (freeBytes + Math.max(0, removable) >= missingBytes) return undefined;
  return tooSmall(what, cache.dir, missingBytes, freeBytes);
}

function tooSmall(what: string, dir: string, neededBytes: number, freeBytes: number): EnvironmentError {
  return new EnvironmentError(
    `${what} needs ${formatBytes(neededBytes)} in ${dir}, where ${formatBytes(freeBytes)} are free`,
    [{ what: 'free space', remedy: 'free some, or choose another file system' }],
  );
}

/** @throws {@link EnvironmentError} the file system has less than that */
export function checkSpace(what: string, dir: string, neededBytes: number): void {
  const { freeBytes } = fileSystemRoom(dir);
  if (freeBytes < neededBytes) throw tooSmall(what, dir, neededBytes, freeBytes);
}
