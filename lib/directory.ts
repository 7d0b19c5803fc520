// SPDX-License-Identifier: MIT
/**
 * Creates and removes directories: those that a user named, and temporary ones.
 * @module
 */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isErrno, reasonOf } from './errno.ts';
import { EnvironmentError, UsageError } from './errors.ts';

/**
 * Creates a directory and its missing parents, one at a time: with `recursive`, Node never returns for a path below
 * /proc.
 * @param mode of each directory that is created
 * @throws {@link UsageError} naming the path that is not a directory or cannot be created
 */
export function makeDirectory(path: string, mode?: number): void {
  const missing: string[] = [];
  let parent = resolve(path);
  for (; !existsSync(parent); parent = dirname(parent)) missing.unshift(parent);
  if (!statSync(parent).isDirectory()) throw new UsageError(`${parent} is not a directory`);
  for (const one of missing) {
    try {
      mkdirSync(one, { mode });
    } catch (error) {
      if (existsSync(one)) continue; // another process has just created it
      throw new UsageError(`cannot create ${one}: ${reasonOf(error)}`);
    }
  }
}

/**
 * Removes a file, if it is there. Commands that have to be quick use it instead of `rmSync`, for which Node 20 compiles
 * modules of its own first.
 */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

/** Name of a file that replaces another, until it is complete; images have such names. */
const NEW_FILE = 'criu-cuda-new.img';

/** Writes a file that only its owner can read, and replaces an earlier one, or changes nothing, as on a full disk. */
export function replaceFile(path: string, data: string | Uint8Array): void {
  const scratch = join(dirname(path), NEW_FILE);
  removeFile(scratch); // of a killed run, or a link of another user
  try {
    writeFileSync(scratch, data, { mode: 0o600, flag: 'wx', flush: true });
    renameSync(scratch, path);
  } catch (error) {
    removeFile(scratch);
    throw error;
  }
}

/** Removes a directory that has only files; see {@link removeFile}. */
export function removeFlatDirectory(path: string): void {
  for (const name of readdirSync(path)) removeFile(join(path, name));
  rmdirSync(path);
}

/** Directories that have not been removed yet. */
const temporary = new Set<string>();
process.once('exit', () => {
  for (const path of temporary) removeTemporaryDirectory(path);
});

/**
 * Creates a directory that is removed at the latest when this process ends, as after a second Ctrl-C.
 * @param prefix of its name
 * @param parent @default the directory for temporary files
 * @throws {@link EnvironmentError} it cannot be created
 */
export function makeTemporaryDirectory(prefix: string, parent = tmpdir()): string {
  try {
    const path = mkdtempSync(join(parent, prefix));
    temporary.add(path);
    return path;
  } catch (error) {
    const remedy = parent === tmpdir() ? 'set TMPDIR to a directory that is there' : 'choose another one';
    throw new EnvironmentError(`cannot create a directory in ${parent}: ${reasonOf(error)}`, [
      { what: `a directory in ${parent}`, remedy: `free space there, or ${remedy}` },
    ]);
  }
}

/** Removes such a directory and what is in it. What cannot be removed stays. */
export function removeTemporaryDirectory(path: string): void {
  temporary.delete(path);
  try {
    removeFlatDirectory(path);
  } catch {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // a process that has just been killed may have written to it again
    }
  }
}

/** Leaves such a directory for the user. */
export const keepTemporaryDirectory = (path: string): void => {
  temporary.delete(path);
};

/** CRIU's images and ours. */
const IMAGE = /\.(?:img|json)$|^stats-/;

/**
 * An image that is not a file. To open a FIFO is to wait for one that writes to it, and Node does not even notice signals then.
 * @returns what is wrong, as a sentence; `undefined` if nothing is
 */
export function irregularImage(dir: string): string | undefined {
  const isIrregular = (name: string): boolean => {
    try {
      return !statSync(join(dir, name)).isFile();
    } catch {
      return false; // the one who opens it is told
    }
  };
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch {
    return undefined;
  }
  const found = names.find((name) => IMAGE.test(name) && isIrregular(name));
  return found && `${join(dir, found)} is not a regular file`;
}

/** Why a path cannot be read as a directory; `undefined` when it is one, or may be one. */
export function directoryProblem(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : `${path} is not a directory`;
  } catch (error) {
    return isErrno(error, 'ENOENT', 'ENOTDIR') ? `${path} does not exist` : undefined;
  }
}

/** @throws {@link UsageError} no file can be written at the path, and why: before an operation that may take long */
export function checkNewFile(path: string): void {
  const isThere = existsSync(path);
  if (isThere && statSync(path).isDirectory())
    throw new UsageError(`${path} is a directory`, 'name a file in it');
  if (!isThere) checkWritable(dirname(resolve(path)), 'name a file in another directory');
}

/** @throws {@link UsageError} no file can be created in the directory, and why */
export function checkWritable(path: string, hint?: string): void {
  const problem = directoryProblem(path);
  if (problem !== undefined) throw new UsageError(problem, hint);
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new UsageError(`cannot write to ${path}: ${reasonOf(error)}`, hint);
  }
}
