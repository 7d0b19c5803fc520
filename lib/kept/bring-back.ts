// SPDX-License-Identifier: MIT
/**
 * Compares the files of a checkpoint with what is there now, and brings back what was kept. Everything is looked at before
 * anything is changed.
 * @module
 */
import { linkSync, type Stats } from 'node:fs';
import { join, resolve } from 'node:path';
import { describeError } from '../errors.ts';
import { formatBytes } from '../output.ts';
import { createEntry, hasContents, leadsThroughLink, writeContents } from './contents.ts';
import { KeptFilesError } from './error.ts';
import { findHolder } from './holders.ts';
import { isLinkRemap } from './keep.ts';
import { statOf } from './list.ts';
import { readManifest, type ManifestFile } from './manifest.ts';

/** What has to be done to one file. */
interface Step {
  file: ManifestFile;
  /** A name that exists; the others become links to it. */
  existing: string | undefined;
  /** It exists, and its contents are not those of the dump. */
  rewrite: boolean;
}

export interface BringBackOptions {
  /** Files that are left as they are, although they have changed. */
  keepShared?: readonly string[] | undefined;
  /** Files that are left out. @default none */
  leftOut?: readonly string[] | undefined;
}

const mode = ({ mode: bits }: ManifestFile): string => bits.toString(8).padStart(4, '0');

const isKind = (stat: Stats, { kind }: ManifestFile): boolean =>
  kind === 'file' ? stat.isFile() : kind === 'directory' ? stat.isDirectory() : stat.isFIFO();

/** Whether a file is what the program expects: as it was at the dump, or grown. */
function isAsExpected(imagesDir: string, path: string, file: ManifestFile, stat: Stats): boolean {
  const { access, kept, size, mtimeMs, onlyGrows } = file;
  if (access === 'read') return stat.size === size;
  if (access === 'append' && onlyGrows !== true) return true; // CRIU accepts any log
  if (kept !== undefined) return hasContents(path, join(imagesDir, kept), access === 'write');
  return access === 'append' ? stat.size >= size : stat.size === size && stat.mtimeMs === mtimeMs;
}

/** The name that is there; a string in an array says why the names cannot be used. */
function findExisting(imagesDir: string, file: ManifestFile): string | undefined | [string] {
  const there = file.paths.filter((path) => statOf(path) !== undefined);
  const plain = there.find((path) => !isLinkRemap(path));
  const remap = there.find(isLinkRemap);
  if (remap === undefined) return plain;
  const isOurs =
    file.kept === undefined ||
    (plain === undefined
      ? hasContents(remap, join(imagesDir, file.kept), true)
      : statOf(plain)?.ino === statOf(remap)?.ino);
  if (isOurs) return plain ?? remap;
  return [`${remap} is there, and belongs to another checkpoint: restore that one, or remove it`];
}

/** What to do about one file; a string says why it cannot be restored. */
function planFile(imagesDir: string, file: ManifestFile, left: readonly string[]): Step | string {
  const existing = findExisting(imagesDir, file);
  if (Array.isArray(existing)) return existing[0];
  const [name = ''] = file.paths;
  if (existing === undefined) {
    const canCreate = file.kind !== 'file' || file.kept !== undefined || file.access === 'append';
    if (canCreate) return { file, existing, rewrite: false };
    return `${name} is missing (${formatBytes(file.size)}, mode ${mode(file)})`;
  }
  const stat = statOf(existing);
  if (!stat || !isKind(stat, file))
    return `${existing} is not a ${file.kind === 'fifo' ? 'named pipe' : file.kind} now`;
  const isLeft = file.kind !== 'file' || file.paths.some((path) => left.includes(path));
  if (isLeft || isAsExpected(imagesDir, existing, file, stat)) return { file, existing, rewrite: false };
  if (file.isMemory && file.kept !== undefined && file.access === 'write')
    return { file, existing, rewrite: true };
  const sizes =
    stat.size === file.size ? '' : `: ${formatBytes(file.size)} at the dump, ${formatBytes(stat.size)} now`;
  const other = file.sharedWith === undefined ? '' : ` (process ${file.sharedWith} shared it at the dump)`;
  return `${existing} has changed since the dump${sizes}${other}`;
}

/** The same, and nothing is written through a symbolic link that somebody has put there. */
function plan(imagesDir: string, file: ManifestFile, left: readonly string[]): Step | string {
  const step = planFile(imagesDir, file, left);
  if (typeof step === 'string') return step;
  const isWritten = step.rewrite || file.paths.some((path) => statOf(path) === undefined);
  const linked = isWritten ? file.paths.find(leadsThroughLink) : undefined;
  return linked === undefined ? step : `${linked} leads through a symbolic link now`;
}

function apply(imagesDir: string, { file, existing, rewrite }: Step): string[] {
  const [name = ''] = file.paths;
  try {
    if (existing === undefined) createEntry(imagesDir, name, file);
    else if (rewrite) writeContents(existing, join(imagesDir, file.kept ?? ''));
    const first = existing ?? name;
    const links = file.paths.filter((path) => statOf(path) === undefined);
    for (const path of links) linkSync(first, path);
    return existing === undefined || rewrite ? [first, ...links] : links;
  } catch (cause) {
    throw new KeptFilesError(`cannot bring back ${name}: ${describeError(cause)}`, {
      hint: 'files before it may have been brought back; to try again: criu-cuda restore',
      cause,
      files: [name],
    });
  }
}

/**
 * Brings back the kept files of a checkpoint.
 * @returns the paths of what was created or written
 * @throws {@link KeptFilesError} naming every file that is missing, has changed, or is used by another process; then
 * nothing was changed. Or the one that could not be written
 */
export function bringBackFiles(imagesDir: string, options: BringBackOptions = {}): string[] {
  const { keepShared = [], leftOut = [] } = options;
  const manifest = readManifest(imagesDir);
  if (!manifest) return [];
  const left = keepShared.map((path) => resolve(path));
  const files = manifest.files.filter(({ paths }) => !paths.some((path) => leftOut.includes(path)));
  const plans = files.map((file) => plan(imagesDir, file, left));
  const steps = plans.filter((one) => typeof one !== 'string');
  const rewritten = steps.flatMap(({ rewrite, file }) => (rewrite ? file.paths : []));
  const held = [...findHolder(rewritten)].map(
    ([path, pid]) => `${path} has changed since the dump, and process ${pid} uses it`,
  );
  const problems = [...plans.filter((one) => typeof one === 'string'), ...held];
  if (problems.length > 0) {
    throw new KeptFilesError(`files of the checkpoint are not as they were: ${problems.join('; ')}`, {
      hint: 'bring them back; one that has the same size, or is a log, may be left as it is with --keep-shared PATH',
      files: problems,
    });
  }
  const depth = ({ file }: Step): number =>
    file.kind === 'directory' ? (file.paths[0]?.length ?? 0) : Infinity;
  return steps.sort((one, other) => depth(one) - depth(other)).flatMap((step) => apply(imagesDir, step));
}
