// SPDX-License-Identifier: MIT
/**
 * Reads the GPU images of a directory: their manifests, and whether their stripes are complete. {@link verifyGpuImages}
 * checks the contents.
 * @module
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { directoryProblem } from '../directory.ts';
import { isErrno, reasonOf } from '../errno.ts';
import { EnvironmentError } from '../errors.ts';
import { sudoCommand } from '../machine/index.ts';
import { GpuImageError } from './error.ts';
import { contentsOf, namesIn, statusOf } from './files.ts';
import { parseManifest } from './manifest.ts';
import type { GpuManifest } from './types.ts';
import { checkPath } from '../check.ts';

/** One file of a GPU image. */
export interface GpuStripe {
  /** File name. */
  name: string;
  /** Size in bytes. */
  size: number;
  /** Names that the file has: more than one if another images directory, or a cache, has it as well. */
  links: number;
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
  /** The manifest's contents. */
  manifest: GpuManifest;
  /** The files that hold the device memory. */
  stripes: GpuStripe[];
}

const manifestName = /^cuda-([1-9]\d*)\.img$/;

/** The error for a directory that is missing, or whose names cannot be read. */
function unreadable(directory: string, error: unknown): EnvironmentError {
  const problem = directoryProblem(directory) ?? `cannot read ${directory}: ${reasonOf(error)}`;
  const remedy = isErrno(error, 'EACCES', 'EPERM')
    ? `run it as root: ${sudoCommand()}`
    : 'pass the images directory of a checkpoint';
  return new EnvironmentError(problem, [{ what: directory, remedy }]);
}

/** @throws {@link EnvironmentError} the images directory does not exist, or may not be read */
export function checkImagesDirectory(directory: string): void {
  if (directoryProblem(directory) !== undefined) throw unreadable(directory, undefined);
  try {
    accessSync(directory, constants.R_OK | constants.X_OK);
  } catch (error) {
    throw unreadable(directory, error);
  }
}

/**
 * File names in a directory that match `pattern`, sorted by the pid that is its first group.
 * @throws {@link EnvironmentError} the directory cannot be read
 */
export async function listManifests(directory: string, pattern: RegExp): Promise<FoundManifest[]> {
  checkPath('directory', directory);
  let names: string[];
  try {
    names = await namesIn(directory);
  } catch (error) {
    throw unreadable(directory, error);
  }
  return names
    .flatMap((name) => {
      const pid = pattern.exec(name)?.[1];
      return pid === undefined ? [] : [{ name, pid: Number(pid) }];
    })
    .sort((a, b) => a.pid - b.pid);
}

/** File names and pids of the manifests in a directory, sorted by pid. */
export function listGpuImages(directory: string): Promise<FoundManifest[]> {
  return listManifests(directory, manifestName);
}

/** Checks that a file named by a manifest exists and has the right length. */
export async function checkImageFile(
  directory: string,
  stripe: Omit<GpuStripe, 'links'>,
  manifest: string,
): Promise<GpuStripe> {
  let status;
  try {
    status = await statusOf(join(directory, stripe.name));
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    throw new GpuImageError(`${stripe.name}: missing; ${manifest} says it has ${stripe.size} bytes`, error);
  }
  if (!status.isFile()) throw new GpuImageError(`${stripe.name}: not a regular file`);
  if (status.size !== stripe.size) {
    throw new GpuImageError(`${stripe.name}: length is ${status.size}; ${manifest} says ${stripe.size}`);
  }
  return { ...stripe, links: status.nlink };
}

/** Reads the image of one process. @throws {@link GpuImageError} naming the file and what is wrong */
export async function readGpuImage(directory: string, pid: number): Promise<GpuImage> {
  const name = `cuda-${pid}.img`;
  const manifest = parseManifest(await contentsOf(join(directory, name)), name);
  if (manifest.pid !== pid) throw new GpuImageError(`${name}: pid is ${manifest.pid}`);
  const stripes: GpuStripe[] = [];
  for (const [index, size] of manifest.stripeSizes.entries())
    stripes.push(await checkImageFile(directory, { name: `cuda-${pid}-${index}.img`, size }, name));
  return { name, manifest, stripes };
}

/** Reads all images of a directory. @throws {@link GpuImageError} naming the file and what is wrong */
export async function readGpuImages(directory: string): Promise<GpuImage[]> {
  const images: GpuImage[] = [];
  for (const { pid } of await listGpuImages(directory)) images.push(await readGpuImage(directory, pid));
  return images;
}
