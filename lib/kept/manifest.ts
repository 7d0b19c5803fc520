// SPDX-License-Identifier: MIT
/**
 * `criu-cuda.json` in the images: the files that the dumped tree has open or mapped, as they were. Images without it are
 * restored without these checks.
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../errno.ts';
import { KeptFilesError } from './error.ts';

/** Its name. */
export const manifestName = 'criu-cuda.json';

/** Contents of a file, in the images. */
export const keptName = (index: number): string => `criu-cuda-file-${index}.img`;

export const isKeptName = (name: string): boolean => /^criu-cuda-file-\d+\.img$/.test(name);

/** The only version so far. A later one may have more fields. */
const VERSION = 1;

/** A file of the tree. All names are of one inode. */
export interface ManifestFile {
  /** Absolute paths: hard links, those with which the tree has opened it first. */
  paths: string[];
  kind: 'file' | 'directory' | 'fifo';
  size: number;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Milliseconds since 1970. */
  mtimeMs: number;
  /** What the tree may do with it: only read; write anywhere; or only append, so that it may grow. */
  access: 'read' | 'write' | 'append';
  /** Its contents are part of the program's state: it is on a tmpfs, or mapped and in a temporary directory. */
  isMemory: boolean;
  /** The file in the images with its contents; `undefined` when they were not kept. */
  kept?: string | undefined;
  /** It is the program's output: it may have grown, and nothing else may have changed. */
  onlyGrows?: boolean | undefined;
  /** Hexadecimal, of a program or library that has one; as CRIU stores it, filled with zeros to whole words. */
  buildId?: string | undefined;
  /** A checksum of parts of a file that the tree only reads, see `sampleOf`. */
  sample?: string | undefined;
  /** A process outside the tree that had it open or mapped at the dump. */
  sharedWith?: number | undefined;
}

/** What the images say about themselves. */
export interface Manifest {
  version: number;
  files: ManifestFile[];
}

function isManifest(value: unknown): value is Manifest {
  const { version, files } = (value ?? {}) as Partial<Manifest>;
  return typeof version === 'number' && Array.isArray(files) && files.every(isFile);
}

const isPath = (path: unknown): boolean => typeof path === 'string' && path.startsWith('/');
const isNumber = (value: unknown): boolean => typeof value === 'number' && value >= 0;
const kinds: ReadonlySet<unknown> = new Set<ManifestFile['kind']>(['file', 'directory', 'fifo']);
const accesses: ReadonlySet<unknown> = new Set<ManifestFile['access']>(['read', 'write', 'append']);

function isFile(value: unknown): value is ManifestFile {
  const file = (value ?? {}) as Partial<ManifestFile>;
  return (
    Array.isArray(file.paths) &&
    file.paths.length > 0 &&
    file.paths.every(isPath) &&
    kinds.has(file.kind) &&
    accesses.has(file.access) &&
    isNumber(file.size) &&
    isNumber(file.mtimeMs) &&
    isNumber(file.uid) &&
    isNumber(file.gid) &&
    isNumber(file.mode) &&
    (file.kept === undefined || isKeptName(file.kept))
  );
}

/**
 * Reads the manifest of a checkpoint.
 * @returns `undefined` when there is none
 * @throws {@link KeptFilesError} it is damaged, or of a later version
 */
export function readManifest(imagesDir: string): Manifest | undefined {
  const path = join(imagesDir, manifestName);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw new KeptFilesError(`${path} is damaged`, { cause: error });
  }
  if (!isManifest(value)) throw new KeptFilesError(`${path} is damaged`);
  if (value.version > VERSION)
    throw new KeptFilesError(`${path} has version ${value.version}, and this program knows ${VERSION}`, {
      hint: 'restore with the version of criu-cuda that made the checkpoint, or a later one',
    });
  return value;
}

/** The manifest of these files. */
export const createManifest = (files: ManifestFile[]): Manifest => ({ version: VERSION, files });
