// SPDX-License-Identifier: MIT
/**
 * Lists the files of a dumped tree, and keeps those that the tree may change or that are in memory: without them, a
 * restore after a reboot would find nothing, and a second one would find what the first has left.
 * @module
 */
import {
  copyFileSync,
  constants,
  lstatSync,
  readdirSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  type Stats,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { readOpenFiles, type OpenFile } from '../criu/index.ts';
import { findHolder } from './holders.ts';
import { createManifest, keptName, manifestName, type ManifestFile } from './manifest.ts';

const TMPFS = 0x01021994;
const PERMISSIONS = 0o7777;

/** Contents of larger files in memory are not kept. Bytes. */
const defaultKeepBytes = 64 * 1024 * 1024;

/** The same for files on a disk, which a reboot leaves where they are. Bytes. */
const DISK_BYTES = 1024 * 1024;

/** What not to list: the kernel's own files, and devices. */
const isVirtual = (path: string): boolean =>
  /^\/(?:proc|sys|dev)(?:\/|$)/.test(path) && !path.startsWith('/dev/shm/');

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined; // deleted: CRIU has it, or will say that it has not
  }
}

function kindOf(stat: Stats): ManifestFile['kind'] | undefined {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isFIFO() ? 'fifo' : undefined;
}

function accessOf(opens: readonly OpenFile[]): ManifestFile['access'] {
  const writers = opens.filter(({ canWrite }) => canWrite);
  if (writers.length === 0) return 'read';
  return writers.every(({ appends }) => appends) ? 'append' : 'write';
}

/** Other names of an inode, in the directory of the one that is known. */
function otherNames(path: string, { dev, ino, nlink }: Stats): string[] {
  if (nlink < 2) return [];
  return readdirSync(dirname(path))
    .map((name) => join(dirname(path), name))
    .filter((other) => {
      const stat = other === path ? undefined : statOf(other);
      return stat?.ino === ino && stat.dev === dev;
    });
}

function describe(path: string, opens: readonly OpenFile[]): ManifestFile | undefined {
  const stat = statOf(path);
  const kind = stat && kindOf(stat);
  if (!stat || !kind) return undefined;
  return {
    paths: [path, ...(kind === 'file' ? otherNames(path, stat) : [])],
    kind,
    size: kind === 'file' ? stat.size : 0,
    mode: stat.mode & PERMISSIONS,
    uid: stat.uid,
    gid: stat.gid,
    mtimeMs: stat.mtimeMs,
    access: accessOf(opens),
    isMemory: statfsSync(path).type === TMPFS,
  };
}

/** The files of the images, each once, whatever its names. */
function listFiles(imagesDir: string): ManifestFile[] {
  const isOwn = (path: string): boolean => isVirtual(path) || path.startsWith(`${imagesDir}/`);
  const opens = readOpenFiles(imagesDir).filter(({ path }) => !isOwn(path));
  const seen = new Set<string>();
  return [...new Set(opens.map(({ path }) => path))].flatMap((path) => {
    if (seen.has(path)) return [];
    const first = describe(path, opens);
    if (!first) return [];
    for (const name of first.paths) seen.add(name);
    return [{ ...first, access: accessOf(opens.filter((one) => first.paths.includes(one.path))) }];
  });
}

function isKept({ kind, size, isMemory, access }: ManifestFile, limit: number): boolean {
  if (kind !== 'file') return false;
  return isMemory ? size <= limit : access !== 'read' && size <= Math.min(limit, DISK_BYTES);
}

/** A name that CRIU gives to a deleted file that has other names, for the time until its restore. */
export const isLinkRemap = (path: string): boolean => /\/link_remap\.\d+$/.test(path);

export interface KeepOptions {
  /** Contents of larger files in memory are not kept; 0 keeps none. Bytes. @default 64 MiB */
  limitBytes?: number | undefined;
  /** The processes of the tree: what others hold as well is not the tree's alone. */
  pids: readonly number[];
  /** The tree runs on, so that contents would not be those of the dump. */
  isRunning: boolean;
}

/**
 * Writes the manifest, and the contents of what is kept. Names that CRIU gave to kept files are removed: CRIU has one name
 * for the files of all checkpoints, so that one of them would prevent every other dump, and the first restore uses it up.
 * @returns what was listed
 */
export function keepFiles(imagesDir: string, options: KeepOptions): ManifestFile[] {
  const { limitBytes = defaultKeepBytes, pids, isRunning } = options;
  const files = listFiles(imagesDir);
  const memory = files.filter((file) => isKept(file, limitBytes) && file.isMemory && file.access === 'write');
  const holders = findHolder(
    memory.flatMap(({ paths }) => paths),
    pids,
  );
  files.forEach((file, index) => {
    const [path = ''] = file.paths;
    const holder = file.paths.map((one) => holders.get(one)).find((pid) => pid !== undefined);
    if (holder !== undefined) file.sharedWith = holder;
    if (!isKept(file, limitBytes) || holder !== undefined || (isRunning && file.access === 'write')) return;
    file.kept = keptName(index);
    copyFileSync(path, join(imagesDir, file.kept), constants.COPYFILE_FICLONE);
  });
  writeFileSync(join(imagesDir, manifestName), `${JSON.stringify(createManifest(files))}\n`, {
    mode: 0o600,
    flush: true,
  });
  const kept = files.filter((file) => file.kept !== undefined);
  for (const path of kept.flatMap(({ paths }) => paths).filter(isLinkRemap)) unlinkSync(path);
  return files;
}
