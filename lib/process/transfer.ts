// SPDX-License-Identifier: MIT
/**
 * How far something is that copies bytes, seen from outside: the space that files take, and what processes have read
 * (/proc/PID/io). Nothing of it is needed by the work, so whatever cannot be read counts as nothing.
 * @module
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readProcessTree } from './proc.ts';

/** Bytes that are copied, and all of them as far as they are known. */
export interface TransferProgress {
  /** Copied so far. */
  doneBytes: number;
  /** An estimate until all images are written; infinite where nothing tells. */
  totalBytes: number;
}

/** Called a few times per second while an operation runs. */
export type OnTransfer = (progress: TransferProgress) => void;

/** Reads how far an operation is. */
export type ReadTransfer = () => TransferProgress | Promise<TransferProgress>;

/** Often enough for a person, and rare enough to cost nothing. */
const EVERY_MS = 300;
const STAT_BLOCK = 512;

const attempt = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch {
    return otherwise; // the file or process has just gone
  }
};

/** Looks repeatedly until it is stopped; what a late look finds is not reported. */
export function watchTransfer(read: ReadTransfer, onProgress: OnTransfer): () => void {
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    const found = await Promise.resolve(read()).catch(() => undefined);
    if (isStopped) return;
    if (found) onProgress(found);
    plan();
  };
  const plan = (): void => {
    timer = setTimeout(() => void look(), EVERY_MS).unref();
  };
  plan();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

/** The bytes of files. */
export interface FileBytes {
  /** The lengths. */
  size: number;
  /** The space that is used: a file may get its length before its contents. */
  written: number;
}

/** The files of a directory whose names match. */
export function bytesOfFiles(dir: string, pattern: RegExp): FileBytes {
  const sum = { size: 0, written: 0 };
  for (const name of attempt(() => readdirSync(dir), [])) {
    if (!pattern.test(name)) continue;
    const status = attempt(() => statSync(join(dir, name)), undefined);
    sum.size += status?.size ?? 0;
    sum.written += Math.min(status?.size ?? 0, (status?.blocks ?? 0) * STAT_BLOCK);
  }
  return sum;
}

/** What a process has read: through the page cache, or past it from a disk. */
function readBytesOf(pid: number): number {
  const text = attempt(() => readFileSync(`/proc/${pid}/io`, 'utf8'), '');
  const value = (name: string): number => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  return Math.max(value('rchar'), value('read_bytes'));
}

const isThere = (pid: number): boolean => existsSync(`/proc/${pid}`);

/** What processes and their descendants read from files with `totalBytes`, from now on. */
export class ReadMeter {
  readonly #totalBytes: number;
  readonly #first = new Map<number, number>();
  readonly #last = new Map<number, number>();
  readonly #parent = new Map<number, number>();

  /** @param running a process that has read before */
  constructor(totalBytes: number, running?: number) {
    this.#totalBytes = totalBytes;
    if (running !== undefined) this.#first.set(running, readBytesOf(running));
  }

  /** Before anything runs. */
  none(): TransferProgress {
    return { doneBytes: 0, totalBytes: this.#totalBytes };
  }

  /** @param root whose descendants count, too; those seen before count after its end */
  read(root: number, moreBytes = 0): TransferProgress {
    for (const { pid, ppid } of attempt(() => readProcessTree(root), [])) this.#parent.set(pid, ppid);
    for (const [pid, ppid] of this.#parent) {
      // a parent has read what its children had when it collected them
      if (!isThere(pid) && this.#last.has(ppid) && isThere(ppid)) this.#last.set(pid, 0);
      else
        this.#last.set(
          pid,
          Math.max(this.#last.get(pid) ?? 0, readBytesOf(pid) - (this.#first.get(pid) ?? 0)),
        );
    }
    const sum = [...this.#last.values()].reduce((all, one) => all + one, moreBytes);
    return { doneBytes: Math.min(sum, this.#totalBytes), totalBytes: this.#totalBytes };
  }
}

/** Memory of a tree that a dump has to store: what no file backs, or several processes share. */
export function residentBytes(pid: number): number {
  const sizes = readProcessTree(pid).map((one) => {
    const text = attempt(() => readFileSync(`/proc/${one.pid}/status`, 'utf8'), '');
    return [...text.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)].reduce(
      (all, [, kib]) => all + Number(kib),
      0,
    );
  });
  return sizes.reduce((all, kib) => all + kib * 1024, 0);
}
