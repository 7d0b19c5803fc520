// SPDX-License-Identifier: MIT
/**
 * The run directory holds the sockets and status files of one user. Their content is believed, so only root and the
 * caller may have made or changed them. `plugins-cuda/common/run_dir.c` has the same rules.
 * @module
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from './errno.ts';
import { EnvironmentError } from './errors.ts';

const remedy = 'remove it, or set CRIU_CUDA_RUN_DIR to a directory of your own';
const OTHERS_WRITE = 0o022;

/** Why a file cannot be trusted; `undefined` when only root and this user may change it. */
function distrust(stat: Stats, uid: number): string | undefined {
  if (stat.uid !== 0 && stat.uid !== uid)
    return `it belongs to user ${stat.uid}, whom user ${uid} does not trust`;
  if ((stat.mode & OTHERS_WRITE) === 0) return undefined;
  return `other users may write to it (mode ${(stat.mode & 0o7777).toString(8).padStart(4, '0')})`;
}

function refuse(path: string, reason: string): never {
  throw new EnvironmentError(`${path} is refused: ${reason}`, [{ what: path, remedy }]);
}

/**
 * Opens the run directory; a symbolic link is not followed. The caller closes the descriptor.
 * @returns `undefined` when there is none
 * @throws {@link EnvironmentError} with the remedy, when others may have made or changed it; EACCES from the system
 */
export function openRunDir(runDir: string, uid = process.geteuid?.() ?? 0): number | undefined {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(runDir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ENOTDIR', 'ELOOP'))
      return refuse(runDir, 'it is a symbolic link, or not a directory');
    throw error;
  }
  const reason = distrust(fstatSync(fd), uid);
  if (reason === undefined) return fd;
  closeSync(fd);
  return refuse(runDir, reason);
}

/**
 * Checks the run directory before it is used; one that does not exist, or that this user may not read, is fine.
 * @throws {@link EnvironmentError} with the remedy, when others may have made or changed it
 */
export function checkRunDir(runDir: string): void {
  try {
    const fd = openRunDir(runDir);
    if (fd !== undefined) closeSync(fd);
  } catch (error) {
    if (!isErrno(error, 'EACCES')) throw error;
  }
}

/**
 * The path of a socket below a descriptor of the run directory, after the socket passed the same checks.
 * @throws ENOENT from the system when there is none, and {@link EnvironmentError}
 */
export function socketBelow(fd: number, runDir: string, name: string): string {
  const path = `/proc/self/fd/${fd}/${name}`;
  const stat = lstatSync(path);
  const reason = stat.isSocket() ? distrust(stat, process.geteuid?.() ?? 0) : 'it is not a socket';
  return reason === undefined ? path : refuse(join(runDir, name), reason);
}
