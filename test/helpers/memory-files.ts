// SPDX-License-Identifier: MIT
/** Files in /dev/shm that belong to the programs of one test: other tests, and other programs, have theirs there, too. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { isErrno } from '../../lib/errno.ts';
import { readProcessTree } from '../../lib/process/index.ts';

const DIR = '/dev/shm';
const MAPPED = /^\S+ \S+ \S+ \S+ (\d+) +\/dev\/shm\/(\S+)/gm;

function inodeOf(name: string): number | undefined {
  try {
    return statSync(`${DIR}/${name}`).ino;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined; // of another test, which has just removed it
    throw error;
  }
}

/** What a tree of processes has, or had, mapped. */
export class MemoryFiles {
  readonly #names = new Set<string>();
  readonly #inodes = new Set<number>();

  /** Adds what the tree has mapped now. */
  add(pid: number): void {
    for (const one of readProcessTree(pid))
      for (const [, inode, name = ''] of readFileSync(`/proc/${one.pid}/maps`, 'utf8').matchAll(MAPPED)) {
        this.#names.add(name);
        this.#inodes.add(Number(inode));
      }
  }

  /** Names that CRIU has given to deleted files, and has not removed. */
  linkRemaps(): string[] {
    const isOurs = (name: string): boolean => this.#inodes.has(inodeOf(name) ?? 0);
    return readdirSync(DIR).filter((name) => name.startsWith('link_remap') && isOurs(name));
  }

  /** Removes what is left of them, once no process has them: nobody else does it for a program that was killed. */
  remove(): void {
    for (const name of [...this.#names, ...this.linkRemaps()]) rmSync(`${DIR}/${name}`, { force: true });
  }
}
