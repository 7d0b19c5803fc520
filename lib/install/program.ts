// SPDX-License-Identifier: MIT
/**
 * Puts our `cuda-checkpoint` into a directory of the search path, and removes it. NVIDIA has a program of the same name, so
 * only files that are ours are replaced or removed.
 * @module
 */
import { lstatSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { checkPath } from '../check.ts';
import { isErrno, reasonOf } from '../errno.ts';
import { EnvironmentError, UsageError } from '../errors.ts';
import { findOnPath } from '../machine/index.ts';
import { putFile } from './directory.ts';
import { InstallError } from './error.ts';

/** The name that CRIU's own plugin looks for. */
const programName = 'cuda-checkpoint';

/** Where to put the program. */
export interface ProgramOptions {
  /** An existing directory. */
  dir: string;
  /** The built program. */
  source: string;
  /** A list of directories, to find programs of the same name in. @default PATH of this process */
  searchPath?: string | undefined;
}

/** What was installed, and what else has this name. */
export interface ProgramResult {
  /** The program. */
  path: string;
  /** Its version. */
  version: string;
  /** False if exactly this program was there already. */
  changed: boolean;
  /** Whether the search path has its directory. */
  isOnPath: boolean;
  /** Other programs of this name on the search path, in its order: NVIDIA's. */
  others: {
    /** The program. */
    path: string;
    /** Whether it is found instead of ours. */
    isFirst: boolean;
  }[];
}

/** What was removed. */
export interface RemovedProgram {
  /** Where the program was. */
  path: string;
  /** Its version. */
  version: string;
}

/** Every ELF file begins with it. */
const elfMagic = Buffer.from('\x7fELF');

/** The version of a file that is our program; `undefined` if it is not ours. */
function versionOf(path: string): string | undefined {
  const file = readFileSync(path);
  if (!file.subarray(0, elfMagic.length).equals(elfMagic)) return undefined;
  return /cuda-checkpoint of criu-cuda-toolkit (\d\S*)/.exec(file.toString('latin1'))?.[1];
}

/** What has our name in the directory: nothing, our program of a version, or something else. */
function present(path: string): 'nothing' | 'foreign' | { version: string } {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'nothing';
  const version = stat.isFile() ? versionOf(path) : undefined;
  return version === undefined ? 'foreign' : { version };
}

function refuseForeign(path: string): never {
  throw new InstallError('ERR_INSTALL_REFUSED', `${path} is not ours: it may be NVIDIA's program`, {
    hint: 'nothing was changed; choose another directory, or move that file away yourself',
  });
}

/** Turns the refusal of a directory into a sentence with a remedy. */
function cannotWrite(dir: string, error: unknown): EnvironmentError {
  const remedy = isErrno(error, 'ENOENT', 'ENOTDIR') ? `mkdir -p ${dir}` : 'run as root, or choose another';
  return new EnvironmentError(`cannot write ${dir}: ${reasonOf(error)}`, [
    { what: `write access to ${dir}`, remedy },
  ]);
}

function otherPrograms(dir: string, dirs: readonly string[]): ProgramResult['others'] {
  const at = dirs.indexOf(dir);
  return dirs.flatMap((one, index) => {
    const path = index === at ? undefined : findOnPath(programName, one);
    return path !== undefined && present(path) === 'foreign' ? [{ path, isFirst: at < 0 || index < at }] : [];
  });
}

/**
 * Puts the program into a directory, with its mode.
 * @throws {@link InstallError} when a program that is not ours is there; {@link EnvironmentError} when the program is not
 * built, or the directory is missing or may not be written; {@link UsageError} when it is none
 */
export async function installProgram(options: ProgramOptions): Promise<ProgramResult> {
  const { dir, source, searchPath = process.env.PATH ?? '' } = options;
  checkPath('dir', dir);
  checkPath('source', source);
  const path = join(dir, programName);
  const version = lstatSync(source, { throwIfNoEntry: false })?.isFile() ? versionOf(source) : undefined;
  if (version === undefined) {
    throw new EnvironmentError('cuda-checkpoint is not built', [{ what: source, remedy: 'criu-cuda build' }]);
  }
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new UsageError(`${dir} is not a directory`, 'name one of the search path');
  const found = present(path);
  if (found === 'foreign') refuseForeign(path);
  const changed = found === 'nothing' || !readFileSync(path).equals(readFileSync(source));
  try {
    if (changed) await putFile(source, path, 0o755);
  } catch (error) {
    throw cannotWrite(dir, error);
  }
  const dirs = searchPath.split(delimiter).filter((one) => one !== '');
  return { path, version, changed, isOnPath: dirs.includes(dir), others: otherPrograms(dir, dirs) };
}

/**
 * Removes what {@link installProgram} put there, of whatever version.
 * @throws {@link InstallError} when nothing is there, or a program that is not ours
 */
export async function uninstallProgram(options: { dir: string }): Promise<RemovedProgram> {
  const { dir } = options;
  checkPath('dir', dir);
  const path = join(dir, programName);
  const found = present(path);
  if (found === 'foreign') refuseForeign(path);
  if (found === 'nothing') {
    throw new InstallError('ERR_INSTALL_REFUSED', `there is no ${path}`, {
      hint: 'name the directory that was given to criu-cuda install --cuda-checkpoint',
    });
  }
  try {
    await rm(path);
  } catch (error) {
    throw cannotWrite(dir, error);
  }
  return { path, version: found.version };
}
