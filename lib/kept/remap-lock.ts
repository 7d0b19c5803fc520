// SPDX-License-Identifier: MIT
/**
 * CRIU gives a deleted file that has other names, such as a POSIX semaphore, one more: /dev/shm/link_remap.7. It counts from the
 * same number in each dump and takes no name that is there, so that of two dumps at once one would fail, and two restores
 * would meet each other's files. A command that makes or uses such names has their directory for itself.
 * @module
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lockImages, type ImagesLock } from '../images-lock.ts';
import { isLinkRemap } from './keep.ts';
import { readManifest } from './manifest.ts';

/** After that, it is done without the lock: then criu says what is in its way. Milliseconds. */
const MOST_MS = 60_000;
const POLL_MS = 5;

/** As /proc says it. */
const isDeleted = (path: string): boolean => path.endsWith(' (deleted)');

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** Deleted files that a process has open or mapped: the path that they had, and where they are reached. */
function deletedFiles(pid: number): [path: string, link: string][] {
  const dir = `/proc/${pid}`;
  const lines = attempt(() => readFileSync(`${dir}/maps`, 'utf8'), '').split('\n');
  // most of the thousands of a server are not of this kind
  const mapped = lines.filter(isDeleted).map((line): [string, string] => {
    const [, start = '', end = '', path = ''] = /^0*([0-9a-f]+)-0*([0-9a-f]+) .*? (\/.*)$/.exec(line) ?? [];
    return [path, `${dir}/map_files/${start}-${end}`];
  });
  const open = attempt(() => readdirSync(`${dir}/fd`), []).map((fd): [string, string] => {
    const link = `${dir}/fd/${fd}`;
    return [attempt(() => readlinkSync(link), ''), link];
  });
  return [...mapped, ...open.filter(([path]) => isDeleted(path))];
}

/** A file that nobody else has a name of is in the images. Where it cannot be seen, it may have one. */
const hasName = (link: string): boolean => attempt(() => statSync(link).nlink > 0, true);

/** Directories in which a dump of the tree makes names for deleted files, as this process sees them. */
export function remapDirsOf(pids: readonly number[]): string[] {
  const dirs = new Set<string>();
  for (const pid of pids)
    for (const [path, link] of deletedFiles(pid)) {
      const dir = dirname(path);
      if (!path.startsWith('/') || dir === '/') continue;
      const seen = `/proc/${pid}/root${dir}`;
      if (!dirs.has(seen) && hasName(link)) dirs.add(seen);
    }
  return [...dirs];
}

/** Directories with such names of a checkpoint. */
export function remapDirsIn(imagesDir: string): string[] {
  const files = attempt(() => readManifest(imagesDir)?.files, undefined) ?? []; // a look says what is wrong with it
  return [...new Set(files.flatMap(({ paths }) => paths.filter(isLinkRemap).map((path) => dirname(path))))];
}

async function lockWhenFree(dir: string, end: number, signal: AbortSignal | undefined): Promise<ImagesLock> {
  const taken = new Error('another command has it');
  for (;;) {
    try {
      return lockImages(dir, true, () => {
        throw taken;
      });
    } catch (error) {
      if (error !== taken || performance.now() > end) return { release: () => undefined };
      await delay(POLL_MS);
      signal?.throwIfAborted();
    }
  }
}

/**
 * Waits until no other command has one of the directories.
 * @param imagesDir it has a lock already, or will have one
 */
export async function lockRemapDirs(
  dirs: readonly string[],
  imagesDir: string,
  signal?: AbortSignal,
): Promise<ImagesLock> {
  const identify = (dir: string): string | undefined =>
    attempt(() => {
      const { dev, ino } = statSync(dir);
      return `${dev}:${ino}`;
    }, undefined);
  const own = identify(imagesDir);
  // all commands take them in the same order
  const known = new Map(
    dirs
      .map((dir) => [identify(dir), dir] as const)
      .sort(([one = ''], [other = '']) => (one < other ? -1 : 1)),
  );
  const locks: ImagesLock[] = [];
  const release = (): void => {
    for (const lock of locks) lock.release();
  };
  const end = performance.now() + MOST_MS;
  try {
    for (const [id, dir] of known)
      if (id !== undefined && id !== own) locks.push(await lockWhenFree(dir, end, signal));
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}
