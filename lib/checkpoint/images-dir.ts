// SPDX-License-Identifier: MIT
/**
 * The directory a checkpoint is written to.
 * @module
 */
import { existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ToolkitError } from '../errors.ts';

const isImage = (name: string): boolean => name.endsWith('.img') || /^stats-(dump|restore)$/.test(name);
const isLog = (name: string): boolean => name.endsWith('.log');

/** Removes the images of a dump, and leaves its log and everything that is not CRIU's. */
export function removeImages(dir: string): void {
  for (const name of readdirSync(dir)) if (isImage(name)) rmSync(join(dir, name));
}

/**
 * Makes sure of an empty directory that only its owner may read: images hold
 * the memory of the process. Logs of an earlier try may be there.
 * @param force removes the images of an earlier checkpoint
 */
export function prepareImagesDir(dir: string, force: boolean): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (force && existsSync(join(dir, 'inventory.img'))) removeImages(dir);
  const inTheWay = readdirSync(dir).filter((name) => !isLog(name));
  if (inTheWay.length === 0) return;
  throw new ToolkitError('ERR_CHECKPOINT_IMAGES_DIR', `${dir} is not empty: it holds ${inTheWay[0] ?? ''}`, {
    exitCode: 2,
    hint: existsSync(join(dir, 'inventory.img'))
      ? 'name another directory, or pass --force to replace the checkpoint in it'
      : 'name another directory',
  });
}

/** Size of the images in bytes. */
export function imagesBytes(dir: string): number {
  return readdirSync(dir)
    .filter(isImage)
    .reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
}
