// SPDX-License-Identifier: MIT
/**
 * Compares the files of a checkpoint with what is there now, and brings back what was kept. Everything is looked at before
 * anything is changed.
 * @module
 */
import { existsSync, linkSync, lstatSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { formatBytes } from '../output.ts';
import { KeptFilesError } from './error.ts';
import { findHolder } from './holders.ts';
import { isLinkRemap } from './keep.ts';
import { readManifest, type ManifestFile } from './manifest.ts';
import { createEntry, leadsThroughLink, writeContents } from './write.ts';

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
}

const mode = ({ mode: bits }: ManifestFile): string => bits.toString(8).padStart(4, '0');

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

const isKind = (stat: Stats, { kind }: ManifestFile): boolean =>
  kind === 'file' ? stat.isFile() : kind === 'directory' ? stat.isDirectory() : stat.isFIFO();

/** Whether a file has the bytes that it had at the dump. */
function isSame(imagesDir: string, path: string, file: ManifestFile, stat: Stats): boolean {
  if (file.kept === undefined) return stat.mtimeMs === file.mtimeMs && stat.size === file.size;
  const now = readFileSync(path);
  const then = readFileSync(join(imagesDir, file.kept));
  if (file.access === 'append') return now.subarray(0, then.length).equals(then);
  return now.equals(then);
}

/** What to do about one file; a string says why it cannot be restored. */
function plan(imagesDir: string, file: ManifestFile, left: readonly string[]): Step | string {
  const existing = file.paths.find((path) => !isLinkRemap(path) && statOf(path) !== undefined);
  const inTheWay = file.paths.find((path) => isLinkRemap(path) && statOf(path) !== undefined);
  if (file.kept !== undefined && inTheWay !== undefined)
    return `${inTheWay} is there, and belongs to another checkpoint: restore that one, or remove it`;
  const [name = ''] = file.paths;
  if (existing === undefined) {
    const canCreate = file.kind !== 'file' || file.kept !== undefined || file.access === 'append';
    const linked = file.paths.find(leadsThroughLink);
    if (linked !== undefined) return `${linked} leads through a symbolic link now`;
    if (canCreate) return { file, existing, rewrite: false };
    return `${name} is missing (${formatBytes(file.size)}, mode ${mode(file)})`;
  }
  const stat = statOf(existing);
  if (!stat || !isKind(stat, file))
    return `${existing} is not a ${file.kind === 'fifo' ? 'named pipe' : file.kind} now`;
  const asItIs = { file, existing, rewrite: false };
  if (file.kind !== 'file' || file.paths.some((path) => left.includes(path))) return asItIs;
  if (file.access === 'read')
    return stat.size === file.size
      ? asItIs
      : `${existing} has changed: ${formatBytes(file.size)} at the dump, ${formatBytes(stat.size)} now`;
  if (isSame(imagesDir, existing, file, stat)) return asItIs;
  if (file.isMemory && file.kept !== undefined) return { file, existing, rewrite: true };
  if (file.access === 'append' && file.kept === undefined && stat.size >= file.size) return asItIs;
  const other = file.sharedWith === undefined ? '' : ` (process ${file.sharedWith} shared it at the dump)`;
  return `${existing} has changed since the dump${other}`;
}

function apply(imagesDir: string, { file, existing, rewrite }: Step): string[] {
  const [name = ''] = file.paths;
  if (existing === undefined) createEntry(imagesDir, name, file);
  else if (rewrite) writeContents(existing, join(imagesDir, file.kept ?? ''));
  const first = existing ?? name;
  const links = file.paths.filter((path) => !existsSync(path));
  for (const path of links) linkSync(first, path);
  return existing === undefined || rewrite ? [first, ...links] : links;
}

/**
 * Brings back the kept files of a checkpoint.
 * @returns the paths of what was created or written
 * @throws {@link KeptFilesError} naming every file that is missing, has changed, or is used by another process; then
 * nothing was changed
 */
export function bringBackFiles(imagesDir: string, { keepShared = [] }: BringBackOptions = {}): string[] {
  const manifest = readManifest(imagesDir);
  if (!manifest) return [];
  const plans = manifest.files.map((file) => plan(imagesDir, file, keepShared));
  const steps = plans.filter((one) => typeof one !== 'string');
  const rewritten = steps.flatMap(({ rewrite, file }) => (rewrite ? file.paths : []));
  const held = [...findHolder(rewritten)].map(
    ([path, pid]) => `${path} has changed since the dump, and process ${pid} uses it`,
  );
  const problems = [...plans.filter((one) => typeof one === 'string'), ...held];
  if (problems.length > 0) {
    throw new KeptFilesError(`files of the checkpoint are not as they were: ${problems.join('; ')}`, {
      hint: 'bring them back; or leave a file as it is with --keep-shared PATH, if the program can live with that',
      files: problems,
    });
  }
  const depth = ({ file }: Step): number =>
    file.kind === 'directory' ? (file.paths[0]?.length ?? 0) : Infinity;
  return steps.sort((one, other) => depth(one) - depth(other)).flatMap((step) => apply(imagesDir, step));
}
