// SPDX-License-Identifier: MIT
/**
 * GPU images in a directory: their manifests, and whether their stripes are
 * there in full. Contents are {@link verifyImages}'s business.
 * @module
 */
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../errno.ts';
import { EnvironmentError } from '../errors.ts';
import { GpuImageError } from './error.ts';
import { parseManifest } from './manifest.ts';
import type { GpuManifest } from './types.ts';
import { checkPath } from '../check.ts';

/** One file of a GPU image. */
export interface GpuStripe {
  /** File name. */
  name: string;
  /** Bytes. */
  size: number;
}

/** A manifest in a directory. */
export interface FoundManifest {
  /** File name. */
  name: string;
  /** The process that was dumped. */
  pid: number;
}

/** The GPU image of one process. */
export interface GpuImage {
  /** File name of the manifest. */
  name: string;
  /** What the manifest says. */
  manifest: GpuManifest;
  /** The files with the contents. */
  stripes: GpuStripe[];
}

const manifestName = /^cuda-([1-9]\d*)\.img$/;

/** Names in a directory that match, by the pid that is the pattern's group. */
export async function listManifests(directory: string, pattern: RegExp): Promise<FoundManifest[]> {
  checkPath('directory', directory);
  let names: string[];
  try {
    names = await readdir(directory);
  } catch (error) {
    throw new EnvironmentError(`${directory}: ${error instanceof Error ? error.message : String(error)}`, [
      { what: directory, remedy: 'name the directory that criu dump wrote to' },
    ]);
  }
  return names
    .flatMap((name) => {
      const pid = pattern.exec(name)?.[1];
      return pid === undefined ? [] : [{ name, pid: Number(pid) }];
    })
    .sort((a, b) => a.pid - b.pid);
}

/** Names of the manifests in a directory, by pid. */
export function listGpuImages(directory: string): Promise<FoundManifest[]> {
  return listManifests(directory, manifestName);
}

/** A file that a manifest names is there and has its length. */
export async function checkImageFile(directory: string, stripe: GpuStripe, manifest: string): Promise<void> {
  let status;
  try {
    status = await lstat(join(directory, stripe.name));
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    throw new GpuImageError(`${stripe.name}: missing; ${manifest} says it has ${stripe.size} bytes`, error);
  }
  if (!status.isFile()) throw new GpuImageError(`${stripe.name}: not a regular file`);
  if (status.size !== stripe.size) {
    throw new GpuImageError(`${stripe.name}: length is ${status.size}; ${manifest} says ${stripe.size}`);
  }
}

/**
 * Reads one image.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
export async function readGpuImage(directory: string, pid: number): Promise<GpuImage> {
  const name = `cuda-${pid}.img`;
  const manifest = parseManifest(await readFile(join(directory, name)), name);
  if (manifest.pid !== pid) throw new GpuImageError(`${name}: pid is ${manifest.pid}`);
  const stripes = manifest.stripeSizes.map((size, index) => ({ name: `cuda-${pid}-${index}.img`, size }));
  for (const stripe of stripes) await checkImageFile(directory, stripe, name);
  return { name, manifest, stripes };
}

/** Reads every image of a directory. */
export async function readGpuImages(directory: string): Promise<GpuImage[]> {
  const images: GpuImage[] = [];
  for (const { pid } of await listGpuImages(directory)) images.push(await readGpuImage(directory, pid));
  return images;
}
