// SPDX-License-Identifier: MIT
/**
 * The directory a checkpoint is written to.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno, reasonOf } from '../errno.ts';
import { isKeptName, MANIFEST_ROOM, manifestName } from '../kept/index.ts';
import { checkWritable, makeDirectory, removeFile, removeFlatDirectory } from '../directory.ts';
import { lockImages, type ImagesLock } from '../images-lock.ts';
import { CheckpointError } from './error.ts';

/** Subdirectory of the images directory for the checkpoint being replaced, until the new one is complete. */
const PREVIOUS = 'criu-cuda-previous';
/**
 * The same subdirectory while files are being moved: some images are in it, the others still in the images directory.
 */
const MOVING = 'criu-cuda-moving';

const INVENTORY = 'inventory.img';
const isImage = (name: string): boolean =>
  name.endsWith('.img') || name === manifestName || /^stats-(dump|restore)$/.test(name);
const isLog = (name: string): boolean => name.endsWith('.log');
const holds = (dir: string, name: string): boolean => existsSync(join(dir, name));

/** Whether the directory contains a complete checkpoint. */
export const hasCheckpoint = (dir: string): boolean => holds(dir, INVENTORY);

function moveImages(from: string, to: string): void {
  for (const name of readdirSync(from)) if (isImage(name)) renameSync(join(from, name), join(to, name));
}

function putAside(dir: string): void {
  mkdirSync(join(dir, MOVING), { mode: 0o700 });
  moveImages(dir, join(dir, MOVING));
  renameSync(join(dir, MOVING), join(dir, PREVIOUS));
}

function putBack(dir: string): void {
  if (holds(dir, PREVIOUS)) renameSync(join(dir, PREVIOUS), join(dir, MOVING));
  if (!holds(dir, MOVING)) return;
  moveImages(join(dir, MOVING), dir);
  rmdirSync(join(dir, MOVING));
}

/** The new checkpoint is complete: removes the one it replaces, of which only files have been moved. */
export function keepImages(dir: string): void {
  if (holds(dir, PREVIOUS)) removeFlatDirectory(join(dir, PREVIOUS));
}

/**
 * Removes the images of a failed dump but keeps its log and all files that are not CRIU's. Restores the checkpoint that
 * was to be replaced.
 */
export function rollBackImages(dir: string): void {
  // the inventory first: without it, a directory whose removal is cut short is not a checkpoint
  removeFile(join(dir, INVENTORY));
  for (const name of readdirSync(dir)) if (isImage(name)) removeFile(join(dir, name));
  putBack(dir);
}

/** Finishes what a killed run was replacing: keeps the new checkpoint if it is complete, else the old one. */
function settle(dir: string): void {
  if (holds(dir, MOVING)) putBack(dir);
  else if (hasCheckpoint(dir)) keepImages(dir);
  else rollBackImages(dir);
}

/**
 * Makes the directory if it is missing, and keeps it from all other commands, which would see no images in it until this
 * dump has written its first, or remove them.
 * @throws {@link CheckpointError} another command uses it
 */
export function lockImagesDir(dir: string): ImagesLock {
  makeDirectory(dir, 0o700);
  checkWritable(dir, 'name another directory');
  return lockImages(dir, true, (holders) => {
    throw new CheckpointError(
      'ERR_CHECKPOINT_IMAGES_DIR',
      `${dir} is in use by another checkpoint or restore${holders}`,
      { hint: 'name another directory, or wait until it has finished' },
    );
  });
}

/**
 * Prepares a locked directory without images that only its owner can read: images contain the memory of the process. Logs
 * of an earlier attempt may be in it. The caller calls {@link keepImages} or {@link rollBackImages} afterwards.
 * @param force sets an existing checkpoint aside until the new one is complete
 */
export function prepareImagesDir(dir: string, force: boolean): void {
  const isCheckpoint = [INVENTORY, PREVIOUS, MOVING].some((name) => holds(dir, name));
  const isReplaced = (name: string): boolean =>
    force && isCheckpoint && (isImage(name) || name === PREVIOUS || name === MOVING);
  const inTheWay = readdirSync(dir).find((name) => !isLog(name) && !isReplaced(name));
  if (inTheWay !== undefined) {
    throw new CheckpointError('ERR_CHECKPOINT_IMAGES_DIR', `${dir} is not empty: it holds ${inTheWay}`, {
      hint: isCheckpoint
        ? 'name another directory, or pass --force to replace the checkpoint in it'
        : 'name another directory',
    });
  }
  if (!isCheckpoint) return;
  settle(dir);
  putAside(dir);
}

/** An image by its name, so that a dump that fails removes it. */
const RESERVED = 'criu-cuda-reserved.img';

/**
 * Takes the room of what is written after criu, in a prepared directory: where there is none, criu fails and the program
 * runs on.
 * @throws {@link CheckpointError} there is none already
 */
export function reserveRoom(dir: string): void {
  try {
    // zeroes take no room where files are compressed
    writeFileSync(join(dir, RESERVED), randomBytes(MANIFEST_ROOM), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const message = isErrno(error, 'ENOSPC', 'EDQUOT')
      ? `there is no room for images in ${dir}`
      : `cannot write images to ${dir}: ${reasonOf(error)}`;
    throw new CheckpointError('ERR_CHECKPOINT_IMAGES_DIR', message, {
      hint: 'free space on its file system, or name another directory',
      cause: error,
    });
  }
}

/** Gives the room back. */
export function releaseRoom(dir: string): void {
  try {
    removeFile(join(dir, RESERVED));
  } catch {
    // nothing reads it, and the next to write is told what is wrong
  }
}

/** Size of the images, in bytes, without the holes of kept files, of which a program may have made terabytes. */
export function imagesBytes(dir: string): number {
  return readdirSync(dir)
    .filter(isImage)
    .reduce((sum, name) => {
      const { size, blocks } = statSync(join(dir, name));
      return sum + (isKeptName(name) ? Math.min(size, blocks * 512) : size);
    }, 0);
}
