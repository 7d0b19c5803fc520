// SPDX-License-Identifier: MIT
/**
 * Keeps the files of a dumped tree that the tree may change or that are in memory: without them, a restore after a reboot
 * would find nothing, and a second one would find what the first has left.
 * @module
 */
import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createPause, type Pause } from '../abortable.ts';
import { removeFile, replaceFile } from '../directory.ts';
import { fileSystemRoom } from '../machine/index.ts';
import { copyContents } from './contents.ts';
import { findHolder } from './holders.ts';
import { takenBytes } from './in-memory.ts';
import { listFiles, type ListedFile } from './list.ts';
import { createManifest, keptName, manifestName, type ManifestFile } from './manifest.ts';
import type { Samples } from './version.ts';

/** Kept files leave this much for the manifest and for what else is written after criu. Bytes. */
export const MANIFEST_ROOM = 1024 * 1024;

/** Larger files in memory are not kept. Bytes. */
const MEMORY_BYTES = 64 * 1024 * 1024;

/** The same for those on a tmpfs that the tree writes, without their holes: a tree that runs on is stopped meanwhile. Bytes. */
const WRITTEN_BYTES = 1024 * 1024 * 1024;

/** The same for files on a disk, which a reboot leaves where they are. Bytes. */
const DISK_BYTES = 1024 * 1024;

function isKept({ file, isOnTmpfs }: ListedFile, limit: number | undefined): boolean {
  const { kind, size, isMemory, access } = file;
  if (kind !== 'file') return false;
  if (!isMemory) return access !== 'read' && size <= Math.min(limit ?? Infinity, DISK_BYTES);
  if (isOnTmpfs && access === 'write') return takenBytes(file.paths[0] ?? '') <= (limit ?? WRITTEN_BYTES);
  return size <= (limit ?? MEMORY_BYTES);
}

/** A name that CRIU gives to a deleted file that has other names, for the time until its restore. */
export const isLinkRemap = (path: string): boolean => /\/link_remap\.\d+$/.test(path);

export interface KeepOptions {
  /**
   * Contents of larger files are not kept; 0 keeps none. Bytes.
   * @default 1 GiB, without holes, for what the tree writes on a tmpfs, 64 MiB for other files in memory, and never more than 1 MiB on a disk
   */
  limitBytes?: number | undefined;
  /** The processes of the tree: what others hold as well is not the tree's alone. */
  pids: readonly number[];
  /** The tree runs on, so that contents would not be those of the dump. */
  isRunning: boolean;
  /** Remove the names that CRIU has given to deleted files, once they are kept. */
  removesLinks: boolean;
  /** Files to which the tree appends only since the dump: nothing else may change in them. */
  growing: readonly string[];
  /** Checksums that were taken while criu dumped. */
  samples: Samples;
  /** Ends it between two pieces. */
  signal?: AbortSignal | undefined;
}

/** Copies a file into the images. @returns whether it was still the one that was listed, and could be copied */
async function copyFile(
  imagesDir: string,
  name: string,
  { file, dev, ino }: ListedFile,
  signal: AbortSignal | undefined,
  pause: Pause,
): Promise<boolean> {
  const target = join(imagesDir, name);
  try {
    if (takenBytes(file.paths[0] ?? '') + MANIFEST_ROOM > fileSystemRoom(imagesDir).freeBytes) return false;
    await copyContents(file.paths[0] ?? '', { dev, ino, size: file.size }, target, pause);
    return true;
  } catch {
    removeFile(target);
    signal?.throwIfAborted();
    return false;
  }
}

/**
 * Writes the manifest, and the contents of what is kept. Names that CRIU gave to kept files are removed: nobody else would
 * remove them without a restore, and the first one uses them up.
 * @returns what was listed
 * @throws the reason of `signal`; then there is no manifest
 */
export async function keepFiles(imagesDir: string, options: KeepOptions): Promise<ManifestFile[]> {
  const { limitBytes, pids, isRunning, removesLinks, growing, samples, signal } = options;
  const pause = createPause(signal);
  const listed = await listFiles(imagesDir, samples, pause);
  const files = listed.map(({ file }) => file);
  const memory = listed.filter(
    (one) => isKept(one, limitBytes) && one.file.isMemory && one.file.access === 'write',
  );
  const holders = await findHolder(
    memory.flatMap(({ file }) => file.paths),
    pids,
    pause,
  );
  for (const [index, one] of listed.entries()) {
    const { file } = one;
    const holder = file.paths.map((path) => holders.get(path)).find((pid) => pid !== undefined);
    if (holder !== undefined) file.sharedWith = holder;
    if (file.paths.some((path) => growing.includes(path))) file.onlyGrows = true;
    const isOfDump = holder === undefined && !(isRunning && file.access === 'write');
    if (!isOfDump || !isKept(one, limitBytes)) continue;
    if (await copyFile(imagesDir, keptName(index), one, signal, pause)) file.kept = keptName(index);
  }
  replaceFile(join(imagesDir, manifestName), `${JSON.stringify(createManifest(files))}\n`);
  const kept = removesLinks ? files.filter((file) => file.kept !== undefined) : [];
  for (const path of kept.flatMap(({ paths }) => paths).filter(isLinkRemap)) unlinkSync(path);
  return files;
}
