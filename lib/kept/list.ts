// SPDX-License-Identifier: MIT
/** The files of a dumped tree, as they are in the file system now. @module */
import { constants, readdirSync, realpathSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Pause } from '../abortable.ts';
import { CriuImageError, readOpenFiles, readWrittenMappings, type OpenFile } from '../criu/index.ts';
import { fileStatuses, type FileStatus } from '../native/index.ts';
import type { ManifestFile } from './manifest.ts';
import type { Samples } from './version.ts';

const TMPFS = 0x01021994;
const PERMISSIONS = 0o7777;

/** A file, and which inode it was when it was listed. */
export interface ListedFile {
  file: ManifestFile;
  dev: number;
  ino: number;
  /** On a tmpfs: the images take what else would be memory of the machine. */
  isOnTmpfs: boolean;
}

/** What not to list: the kernel's own files, and devices. */
export const isVirtual = (path: string): boolean =>
  /^\/(?:proc|sys|dev)(?:\/|$)/.test(path) && !path.startsWith('/dev/shm/');

const kinds: Readonly<Record<number, ManifestFile['kind']>> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFIFO]: 'fifo',
};

/** What kind of file it is, by its mode. @returns `undefined` for what is not listed */
export const kindOf = ({ mode = 0 }: { mode?: number | undefined }): ManifestFile['kind'] | undefined =>
  kinds[mode & constants.S_IFMT];

function accessOf(opens: readonly OpenFile[]): ManifestFile['access'] {
  const writers = opens.filter(({ canWrite }) => canWrite);
  if (writers.length === 0) return 'read';
  return writers.every(({ appends }) => appends) ? 'append' : 'write';
}

/** Other names of an inode, in the directory of the one that is known. */
function otherNames(path: string, { dev, ino, nlink }: FileStatus): string[] {
  if (nlink < 2) return [];
  const others = readdirSync(dirname(path))
    .map((name) => join(dirname(path), name))
    .filter((other) => other !== path);
  const statuses = fileStatuses(others);
  return others.filter((_, index) => statuses[index]?.ino === ino && statuses[index].dev === dev);
}

/** What is known about the files of a tree while they are listed. */
interface Known {
  opensOf: ReadonlyMap<string, OpenFile[]>;
  /** What is at each path. */
  statuses: ReadonlyMap<string, FileStatus | undefined>;
  /**
   * Inodes that the tree may write to, and their devices: other files on a disk need no second name, which would take a look
   * at each of a thousand libraries.
   */
  written: ReadonlyMap<number, readonly number[]>;
  /** Paths of the files that the tree writes by a mapping. It is asked only about those that may be its memory. */
  mapped: () => ReadonlySet<string>;
  samples: Samples;
  /** Whether a device is a tmpfs. */
  memoryDevices: Map<number, boolean>;
}

/** What tells later whether a file that is only read is still the same. */
function versionOf(
  path: string,
  stat: FileStatus,
  opens: readonly OpenFile[],
  samples: Samples,
): Pick<ManifestFile, 'buildId' | 'sample'> {
  const buildId = opens.find((open) => open.buildId !== undefined)?.buildId;
  return buildId === undefined ? { sample: samples.of(path, stat) } : { buildId };
}

/** Whether a file is on a tmpfs. @param devices what is known already */
export function isInMemory(path: string, { dev }: FileStatus, devices: Map<number, boolean>): boolean {
  const known = devices.get(dev) ?? statfsSync(path).type === TMPFS;
  devices.set(dev, known);
  return known;
}

/** What is there is of no use to anyone without the programs that have made it. */
const temporary = ['/tmp/', '/var/tmp/', `${tmpdir()}/`];
const isTemporary = (path: string): boolean => temporary.some((dir) => path.startsWith(dir));

/** The inodes that the tree may write to, under any of its names, and their devices. */
function writtenInodes({ opensOf, statuses }: Pick<Known, 'opensOf' | 'statuses'>): Map<number, number[]> {
  const written = new Map<number, number[]>();
  for (const [path, opens] of opensOf) {
    const stat = opens.some(({ canWrite }) => canWrite) ? statuses.get(path) : undefined;
    if (stat) written.set(stat.ino, [...(written.get(stat.ino) ?? []), stat.dev]);
  }
  return written;
}

function list(
  path: string,
  { opensOf, statuses, written, mapped, samples, memoryDevices }: Known,
): ListedFile | undefined {
  const stat = statuses.get(path);
  const kind = stat && kindOf(stat);
  if (!stat || !kind) return undefined;
  const isOnTmpfs = isInMemory(path, stat, memoryDevices);
  const isKeptAsOne = kind === 'file' && (isOnTmpfs || written.get(stat.ino)?.includes(stat.dev) === true);
  const paths = [path, ...(isKeptAsOne ? otherNames(path, stat) : [])];
  const opens = paths.flatMap((one) => opensOf.get(one) ?? []);
  // its descriptor may be closed, and then nothing else tells that it is written
  const mayBeMemory = kind === 'file' && (isOnTmpfs || isTemporary(path));
  const isMapped = mayBeMemory && paths.some((one) => mapped().has(one));
  const isMemory = isOnTmpfs || isMapped;
  const access = isMapped ? 'write' : accessOf(opens);
  const file: ManifestFile = {
    paths,
    kind,
    size: kind === 'file' ? stat.size : 0,
    mode: stat.mode & PERMISSIONS,
    uid: stat.uid,
    gid: stat.gid,
    mtimeMs: stat.mtimeMs,
    access,
    isMemory,
    ...(kind === 'file' && access === 'read' ? versionOf(path, stat, opens, samples) : {}),
  };
  return { file, dev: stat.dev, ino: stat.ino, isOnTmpfs };
}

/** The opens of each path that is to be listed. */
function readOpens(imagesDir: string, isListed: (path: string) => boolean): Map<string, OpenFile[]> {
  const opensOf = new Map<string, OpenFile[]>();
  for (const open of readOpenFiles(imagesDir).filter(({ path }) => isListed(path))) {
    const same = opensOf.get(open.path);
    if (same) same.push(open);
    else opensOf.set(open.path, [open]);
  }
  return opensOf;
}

/**
 * The files of the images, each once, whatever its names. One that goes meanwhile is left out.
 * @param samples checksums that were taken before
 * @throws what `pause` throws
 */
export async function listFiles(imagesDir: string, samples: Samples, pause: Pause): Promise<ListedFile[]> {
  const own = [imagesDir, realpathSync(imagesDir)].map((dir) => `${dir}/`);
  const isListed = (path: string): boolean => !isVirtual(path) && !own.some((dir) => path.startsWith(dir));
  const opensOf = readOpens(imagesDir, isListed);
  const names = [...opensOf.keys()];
  const found = fileStatuses(names);
  const statuses = new Map(names.map((name, index) => [name, found[index]]));
  const written = writtenInodes({ opensOf, statuses });
  let paths: ReadonlySet<string> | undefined;
  const mapped = (): ReadonlySet<string> => (paths ??= readWrittenMappings(imagesDir));
  const known = { opensOf, statuses, written, mapped, samples, memoryDevices: new Map<number, boolean>() };
  const seen = new Set<string>();
  const files: ListedFile[] = [];
  for (const path of names) {
    if (seen.has(path)) continue;
    await pause(); // on a file system of the network, each takes long
    try {
      const listed = list(path, known);
      for (const name of listed?.file.paths ?? []) seen.add(name);
      if (listed) files.push(listed);
    } catch (error) {
      if (error instanceof CriuImageError) throw error;
      // deleted: CRIU has it, or will say that it has not
    }
  }
  return files;
}

/**
 * The files of images without a manifest, as far as CRIU knows about them: sizes and build ids. Of a tree with mounts of
 * its own none are listed, because the paths mean something else here.
 */
export function filesOfImages(imagesDir: string): ManifestFile[] {
  if (readdirSync(imagesDir).some((name) => /^mountpoints-\d+\.img$/.test(name))) return [];
  return [...readOpens(imagesDir, (path) => !isVirtual(path))].flatMap(([path, opens]) => {
    const known = opens.find(({ size }) => size !== undefined) ?? opens[0];
    const kind = kindOf(known ?? {});
    if (kind === undefined || known === undefined) return [];
    const size = kind === 'file' ? (known.size ?? 0) : 0;
    const mode = (known.mode ?? 0) & PERMISSIONS;
    const unknown = { uid: 0, gid: 0, mtimeMs: 0, isMemory: false };
    const access = known.size === undefined ? 'append' : accessOf(opens);
    return [{ paths: [path], kind, size, mode, access, buildId: known.buildId, ...unknown }];
  });
}
