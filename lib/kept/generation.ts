// SPDX-License-Identifier: MIT
/**
 * The file from which a program learns that it was restored. `criu-cuda run` creates it and names it in
 * CRIU_CUDA_GENERATION_FILE (plugins-cuda/launch/generation.c); every restore writes it before the program runs. Who waits
 * for the program removes it at its end.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync, writeSync } from 'node:fs';
import { removeFile } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { describeError } from '../errors.ts';
import { MOST_OF_WORDS, readBeginning } from '../process/index.ts';

/** The variable that names the file. */
const VARIABLE = 'CRIU_CUDA_GENERATION_FILE';

/** Root writes it, whatever a program says: so it is nowhere else. In memory, and seen by every user. */
const PATHS = /^\/dev\/shm\/criu-cuda-generation-\d+$/;

const pathOf = (pid: number): string => `/dev/shm/criu-cuda-generation-${pid}`;

/** Always as long: CRIU compares the sizes of open files. Bytes. */
const SIZE = 64;

/** Of /proc/PID/status; the ids are at its start. Bytes. */
const MOST_OF_STATUS = 4096;

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

/** A program's file, as it was at a dump. */
export interface Generation {
  path: string;
  /** How many restores lie between the start of the program and the dump. */
  number: number;
  /** Owner. */
  uid: number;
  gid: number;
}

/** What a restore has written. */
export interface WrittenGeneration {
  /** How many restores lie between the start of the program and now. */
  number: number;
  /** 32 hexadecimal digits that no other restore has. */
  id: string;
}

/** The first of the numbers in a line of /proc/PID/status: the real id. */
const realId = (status: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? NaN);

/** Finds the file of a program. @returns `undefined` unless `criu-cuda run` has started it with one */
export function findGeneration(pid: number): Generation | undefined {
  const prefix = `${VARIABLE}=`;
  const variable = readBeginning(`/proc/${pid}/environ`, MOST_OF_WORDS)
    .split('\0')
    .find((one) => one.startsWith(prefix));
  const path = variable?.slice(prefix.length) ?? '';
  if (!PATHS.test(path)) return undefined;
  const status = readBeginning(`/proc/${pid}/status`, MOST_OF_STATUS);
  const [uid, gid] = [realId(status, 'Uid'), realId(status, 'Gid')];
  if (Number.isNaN(uid) || Number.isNaN(gid)) return undefined;
  // in the mounts that the program sees
  const number = Number.parseInt(readBeginning(`/proc/${pid}/root${path}`, SIZE), 10);
  return { path, number: Number.isSafeInteger(number) && number >= 0 ? number : 0, uid, gid };
}

function open(path: string): number {
  const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK;
  try {
    return openSync(path, flags);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    const fd = openSync(path, flags | O_CREAT | O_EXCL, 0o644);
    try {
      fchmodSync(fd, 0o644); // whatever the umask, as criu-cuda run makes it
    } catch (failure) {
      closeSync(fd);
      throw failure;
    }
    return fd;
  }
}

/** Writes the next generation. @returns a text if the file cannot be used, for the user */
export function writeGeneration({ path, number, uid, gid }: Generation): WrittenGeneration | string {
  if (!PATHS.test(path)) return `${path} is not written: it is not a generation file`;
  let fd: number | undefined;
  try {
    fd = open(path);
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.nlink !== 1 || (stat.uid !== uid && stat.uid !== process.geteuid?.()))
      return `${path} is not written: it belongs to another user`;
    const next = { number: number + 1, id: randomBytes(16).toString('hex') };
    const line = `${next.number} ${next.id}`.padEnd(SIZE - 1);
    writeSync(fd, `${line}\n`, 0);
    if (stat.uid !== uid) fchownSync(fd, uid, gid);
    return next;
  } catch (error) {
    return `the program does not learn that it was restored: ${describeError(error)}`;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Removes the file of a program that this process waits for and that has ended. Its pid must not be free yet: the next
 * restore that has it writes the file again.
 * @param path of the file that was written for it
 */
export function endGeneration(path: string, pid: number): void {
  if (path !== pathOf(pid)) return; // in a pid namespace of its own, where others may have the same pid
  try {
    removeFile(path);
  } catch {
    // of another user, or on a file system that cannot be written to
  }
}
