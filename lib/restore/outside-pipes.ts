// SPDX-License-Identifier: MIT
/**
 * Joins pipes whose other end was outside the dumped tree. Such a pipe would be restored with nobody at the other end, and
 * the first write to it would kill the program.
 * @module
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { readOutsidePipes, type OutsidePipe } from '../criu/index.ts';
import { isErrno, reasonOf } from '../errno.ts';
import { UsageError } from '../errors.ts';

const STDOUT = 1;
const STDERR = 2;
/** The first descriptor that criu gets besides its own three. */
const FIRST = 3;

/** What criu gets, and what the caller has to know. */
export interface JoinedPipes {
  /** Descriptors for criu, from 3 on. */
  descriptors: number[];
  /** For criu's `--inherit-fd`. */
  inheritFds: string[];
  warnings: string[];
  /** The program writes to the caller's own stdout or stderr from now on. */
  sharesOutput: boolean;
  /** Closes what was opened for it. */
  close(): void;
}

/** CRIU opens what takes the place of a pipe again through /proc, which does not work for a socket. */
function canJoin(fd: number, resource: string): boolean {
  try {
    return !fstatSync(fd).isSocket() || resource.startsWith('socket');
  } catch {
    return false;
  }
}

/** The standard output that takes the place of a pipe. @returns `undefined` for all other pipes */
function standardOf({ descriptors }: OutsidePipe): number | undefined {
  return [STDOUT, STDERR].find((fd) => descriptors.includes(fd));
}

/** Opening a named pipe that nobody reads would never return, and the program would die of its first line. */
function openLog(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  const flags = O_WRONLY | O_APPEND | O_CREAT;
  try {
    const probe = openSync(path, flags | O_NONBLOCK, 0o644);
    try {
      return openSync(path, flags, 0o644);
    } finally {
      closeSync(probe);
    }
  } catch (error) {
    if (isErrno(error, 'ENXIO'))
      throw new UsageError(
        `cannot write to the log ${path}: nobody reads this named pipe`,
        'start its reader first',
      );
    throw new UsageError(`cannot open the log ${path}: ${reasonOf(error)}`);
  }
}

/**
 * Finds something to put in the place of each pipe.
 * @param log file for what was stdout or stderr. @default the caller's own
 * @throws {@link UsageError} the log cannot be opened
 */
export function joinOutsidePipes(imagesDir: string, log: string | undefined): JoinedPipes {
  const opened: number[] = [];
  const open = (fd: number): number => {
    opened.push(fd);
    return fd;
  };
  // of one that the tree reads, CRIU brings back what was not read yet, and then it ends
  const pipes = readOutsidePipes(imagesDir).filter(({ end }) => end === 'write');
  const logFd = log === undefined ? undefined : open(openLog(log));
  const isNeeded = (pipe: OutsidePipe): boolean => standardOf(pipe) === undefined || logFd === undefined;
  const nullFd = pipes.some(isNeeded) ? open(openSync('/dev/null', 'r+')) : 0;
  const warnings: string[] = [];
  const descriptors = pipes.map((pipe) => {
    const standard = standardOf(pipe);
    if (standard === undefined) return nullFd;
    if (logFd !== undefined) return logFd;
    if (canJoin(standard, pipe.resource)) return standard;
    warnings.push(
      `the output of the program is lost: it wrote to a pipe, and this command's own output cannot take its place; name a file with --log`,
    );
    return nullFd;
  });
  return {
    descriptors,
    inheritFds: pipes.map(({ resource }, i) => `fd[${FIRST + i}]:${resource}`),
    warnings: [...new Set(warnings)],
    sharesOutput: descriptors.some((fd) => fd === STDOUT || fd === STDERR),
    close: () => {
      for (const fd of opened) closeSync(fd);
    },
  };
}
