// SPDX-License-Identifier: MIT
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { reasonOf } from '../../errno.ts';
import { UsageError } from '../../errors.ts';

const { O_RDONLY, O_NONBLOCK } = constants;
const OTHERS = 0o077;
const MOST_BYTES = 4096;

const makeOne = (path: string): string =>
  `make one, and copy it to all nodes: (umask 077; openssl rand -hex 32 > ${path})`;

/** @returns what is wrong with a file that is open */
function problemOf(fd: number, path: string): UsageError | undefined {
  const stat = fstatSync(fd);
  if (!stat.isFile() || stat.size > MOST_BYTES)
    return new UsageError(`${path} is not a key of peers`, makeOne(path));
  if (stat.uid !== 0 && stat.uid !== process.geteuid?.())
    return new UsageError(`the key ${path} belongs to another user`, `chown it to root: chown root ${path}`);
  if ((stat.mode & OTHERS) !== 0)
    return new UsageError(
      `other users may read or change the key ${path}`,
      `make another, since that one may be known: (umask 077; openssl rand -hex 32 > ${path}.new && mv ${path}.new ${path})`,
    );
  return undefined;
}

/**
 * Reads the key that nodes share: 32 random bytes, as 64 hexadecimal digits. A password would not do, because a stranger on
 * the network could try millions of them on one recorded connection.
 * @throws {@link UsageError} it is not there, other users may read or change it, or it has another form
 */
export function readPeerKey(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NONBLOCK);
  } catch (error) {
    throw new UsageError(`cannot read the key of peers ${path}: ${reasonOf(error)}`, makeOne(path));
  }
  try {
    const problem = problemOf(fd, path);
    if (problem) throw problem;
    const key = readFileSync(fd, 'latin1').trim();
    if (!/^[\da-fA-F]{64}$/.test(key))
      throw new UsageError(`${path} does not have 64 hexadecimal digits`, makeOne(path));
    return key.toLowerCase();
  } finally {
    closeSync(fd);
  }
}
