// SPDX-License-Identifier: MIT
/**
 * Compares the files of a checkpoint with what is there now. Nothing is changed.
 * @module
 */
import { join, resolve } from 'node:path';
import { createPause, type Pause } from '../abortable.ts';
import { fileStatuses, type FileStatus } from '../native/index.ts';
import { formatBytes } from '../output.ts';
import { hasContents, leadsThroughLink } from './contents.ts';
import { KeptFilesError } from './error.ts';
import { findHolder } from './holders.ts';
import { isLinkRemap } from './keep.ts';
import { filesOfImages, kindOf } from './list.ts';
import { readManifest, type ManifestFile } from './manifest.ts';
import { isBuildId, readBuildId, sampleOf } from './version.ts';

/** What has to be done to one file. */
export interface Step {
  file: ManifestFile;
  /** A name that exists; those that do not become links to it. */
  existing: string | undefined;
  /** Names that do not exist. */
  missing: string[];
  /** It exists, and its contents are not those of the dump. */
  rewrite: boolean;
}

export interface CompareOptions {
  /** Files that are left as they are, although they have changed. */
  keepShared?: readonly string[] | undefined;
  /** Processes that may use the files. @default none */
  own?: readonly number[] | undefined;
  /** Files that are left out. @default none */
  leftOut?: readonly string[] | undefined;
  /** Also compare the files of images that CRIU alone has written, as CRIU would at the restore. @default false */
  withPlain?: boolean | undefined;
  /** Ends it between two pieces. */
  signal?: AbortSignal | undefined;
}

/** What files are compared with. */
interface Context {
  imagesDir: string;
  /** Files that are left as they are. */
  left: readonly string[];
  /** CRIU alone would restore these images: nothing is created. */
  isPlain: boolean;
  /** What is at the paths of the files. */
  statuses: ReadonlyMap<string, FileStatus | undefined>;
  pause: Pause;
}

const upgradeHint =
  'install the programs and libraries of the dump again, or start the program and make a new checkpoint';
const fileHint =
  'bring them back; one that has the same size, or is a log, may be left as it is with --keep-shared PATH';

const mode = ({ mode: bits }: ManifestFile): string => bits.toString(8).padStart(4, '0');

/** Whether a file that the program only reads is the one of the dump. */
function isSameVersion(
  path: string,
  { size, mtimeMs, buildId, sample }: ManifestFile,
  stat: FileStatus,
): boolean {
  if (stat.size !== size) return false;
  if (stat.mtimeMs === mtimeMs) return true;
  if (buildId !== undefined) return isBuildId(readBuildId(path), buildId);
  return sample === undefined || sampleOf(path) === sample;
}

/** Whether a file of one name that is only read is as it was; then nothing else has to be asked about it. */
function isUnchanged(
  { paths, kind, access, size, mtimeMs }: ManifestFile,
  stat: FileStatus | undefined,
): boolean {
  if (access !== 'read' || kind !== 'file' || paths.length !== 1 || stat === undefined) return false;
  return (
    stat.size === size && stat.mtimeMs === mtimeMs && kindOf(stat) === 'file' && !isLinkRemap(paths[0] ?? '')
  );
}

/** Whether a file is what the program expects: as it was at the dump, or grown. */
async function isAsExpected(
  { imagesDir, isPlain, pause }: Context,
  path: string,
  file: ManifestFile,
  stat: FileStatus,
): Promise<boolean> {
  const { access, kept, size, mtimeMs, onlyGrows } = file;
  if (access === 'read') return isSameVersion(path, file, stat);
  if (access === 'append' && onlyGrows !== true) return true; // CRIU accepts any log
  if (isPlain) return stat.size === size; // all that CRIU knows
  if (kept !== undefined) return hasContents(path, join(imagesDir, kept), access === 'write', pause);
  return access === 'append' ? stat.size >= size : stat.size === size && stat.mtimeMs === mtimeMs;
}

/** A name of a file that is there. */
interface Existing {
  path: string;
  stat: FileStatus;
}

/** The name to use of those that are there; a string says why none can be used. */
async function chooseName(
  { imagesDir, pause }: Context,
  file: ManifestFile,
  there: readonly Existing[],
): Promise<Existing | undefined | string> {
  const plain = there.find(({ path }) => !isLinkRemap(path));
  const remap = there.find(({ path }) => isLinkRemap(path));
  if (remap === undefined) return plain;
  const isOurs =
    file.kept === undefined ||
    (plain === undefined
      ? await hasContents(remap.path, join(imagesDir, file.kept), true, pause)
      : plain.stat.ino === remap.stat.ino);
  if (isOurs) return plain ?? remap;
  return `${remap.path} is there, and belongs to another checkpoint: restore that one, or remove it`;
}

const shortId = (id: string | undefined): string => (id === undefined ? 'none' : id.slice(0, 16));

/** How a file differs from the one of the dump. */
function changeText(path: string, file: ManifestFile, stat: FileStatus): string {
  const [then, now] = [formatBytes(file.size), formatBytes(stat.size)];
  if (file.buildId !== undefined) {
    const found = shortId(readBuildId(path));
    return `${path} is another version: ${then}, build id ${shortId(file.buildId)} at the dump, ${now}, build id ${found} now`;
  }
  const sizes = stat.size === file.size ? '' : `: ${then} at the dump, ${now} now`;
  const other = file.sharedWith === undefined ? '' : ` (process ${file.sharedWith} shared it at the dump)`;
  return `${path} has changed since the dump${sizes}${other}`;
}

/** What to do about one file; a string says why it cannot be restored. */
async function planFile(context: Context, file: ManifestFile): Promise<Step | string> {
  const there: Existing[] = [];
  const missing: string[] = [];
  for (const path of file.paths) {
    const stat = context.statuses.get(path);
    if (stat) there.push({ path, stat });
    else missing.push(path);
  }
  const found = await chooseName(context, file, there);
  if (typeof found === 'string') return found;
  const step = (rewrite: boolean): Step => ({ file, existing: found?.path, missing, rewrite });
  const [name = ''] = file.paths;
  if (found === undefined) {
    const canCreate = file.kind !== 'file' || file.kept !== undefined || file.access === 'append';
    if (canCreate && !context.isPlain) return step(false);
    return `${name} is missing (${formatBytes(file.size)}, mode ${mode(file)})`;
  }
  const { path: existing, stat } = found;
  if (kindOf(stat) !== file.kind)
    return `${existing} is not a ${file.kind === 'fifo' ? 'named pipe' : file.kind} now`;
  const isLeft = file.kind !== 'file' || file.paths.some((path) => context.left.includes(path));
  if (isLeft || (await isAsExpected(context, existing, file, stat))) return step(false);
  if (file.isMemory && file.kept !== undefined && file.access === 'write') return step(true);
  return changeText(existing, file, stat);
}

/** The same, and nothing is written through a symbolic link that somebody has put there. */
async function plan(context: Context, file: ManifestFile): Promise<Step | string> {
  const step = await planFile(context, file);
  if (typeof step === 'string') return step;
  const isWritten = step.rewrite || step.missing.length > 0;
  const linked = isWritten ? file.paths.find(leadsThroughLink) : undefined;
  return linked === undefined ? step : `${linked} leads through a symbolic link now`;
}

function statusesOf(paths: readonly string[]): Map<string, FileStatus | undefined> {
  const found = fileStatuses(paths);
  return new Map(paths.map((path, index) => [path, found[index]]));
}

/**
 * Compares the files of a checkpoint with what is there.
 * @returns what a restore has to bring back; nothing for images that CRIU alone has written
 * @throws {@link KeptFilesError} naming every file that is missing, has changed, or is used by another process; the reason
 * of `signal`
 */
export async function compareFiles(imagesDir: string, options: CompareOptions = {}): Promise<Step[]> {
  const { keepShared = [], leftOut = [], own = [], withPlain = false, signal } = options;
  const manifest = readManifest(imagesDir);
  const all = manifest?.files ?? (withPlain ? filesOfImages(imagesDir) : []);
  const listed = all.filter(({ paths }) => !paths.some((path) => leftOut.includes(path)));
  const statuses = statusesOf(listed.flatMap(({ paths }) => paths));
  const files = listed.filter((file) => !isUnchanged(file, statuses.get(file.paths[0] ?? '')));
  const context: Context = {
    imagesDir,
    left: keepShared.map((path) => resolve(path)),
    isPlain: manifest === undefined,
    statuses,
    pause: createPause(signal),
  };
  const plans: { file: ManifestFile; step: Step | string }[] = [];
  for (const file of files) {
    await context.pause();
    plans.push({ file, step: await plan(context, file) });
  }
  const steps = plans.flatMap(({ step }) => (typeof step === 'string' ? [] : [step]));
  const rewritten = steps.flatMap(({ rewrite, file }) => (rewrite ? file.paths : []));
  const held = [...(await findHolder(rewritten, own, context.pause))].map(
    ([path, pid]) => `${path} has changed since the dump, and process ${pid} uses it`,
  );
  const bad = plans.flatMap(({ file, step }) => (typeof step === 'string' ? [{ file, text: step }] : []));
  const problems = [...bad.map(({ text }) => text), ...held];
  if (problems.length === 0) return steps;
  const isUpgrade = bad.map(({ file }) => file.buildId !== undefined);
  const hints = [
    ...(isUpgrade.includes(true) ? [upgradeHint] : []),
    ...(isUpgrade.includes(false) || held.length > 0 ? [fileHint] : []),
  ];
  throw new KeptFilesError(`files of the checkpoint are not as they were: ${problems.join('; ')}`, {
    hint: hints.join('\n'),
    files: problems,
  });
}
