// SPDX-License-Identifier: MIT
/**
 * Remembers what an images directory was pushed as, in the user's cache: a second push reads nothing of it while the
 * registry has the blocks. A change of a file also changes its ctime, which nobody can set.
 * @module
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { removeFile } from '../../directory.ts';
import { keepOwnFile, ownCacheDir, readOwnFile } from '../../own-cache.ts';
import type { Environment } from '../../paths.ts';
import { packageVersion } from '../../version.ts';
import { hasZstd } from '../compression/zstd.ts';
import { contentsSchema, layersSchema, type Description, type Layer } from '../format.ts';
import type { Contents } from './contents.ts';

/** Images that are remembered. */
const MOST = 32;

/** Bytes of a file about one: the description of an image has less, and its layers, too. */
const MOST_BYTES = 16 * 2 ** 20;

/** A change this soon after the one before may leave the same time: clocks of file systems tick. Milliseconds. */
const TICK_MS = 100;
/** The same where times are whole seconds. */
const COARSE_TICK_MS = 2000;

/** What was pushed. */
export interface Pushed extends Pick<Description, 'files' | 'blocks'> {
  /** Of the blocks that differ, in their order. */
  layers: Layer[];
}

/** An images directory at one moment. */
export interface Identity {
  /** The same only while no file changes, gets another name, or is replaced. */
  key: string;
  /** A change after that moment cannot leave the key as it is. */
  isSettled: boolean;
}

/** Looks at the files, not into them. */
export function identityOf(dir: string, { files, sequences }: Contents): Identity {
  const now = Date.now();
  const gpuFiles = sequences.flatMap(({ image }) =>
    image ? [image.name, ...image.stripes.map(({ name }) => name)] : [],
  );
  const hash = createHash('sha256').update(`${packageVersion()} ${hasZstd()}\n`);
  let isSettled = true;
  for (const name of [...files.map((file) => file.name), ...gpuFiles].sort()) {
    const { dev, ino, mode, size, mtimeNs, ctimeNs } = lstatSync(join(dir, name), { bigint: true });
    hash.update(`${[name, dev, ino, mode, size, mtimeNs, ctimeNs].join(' ')}\n`);
    const tick = ctimeNs % 1_000_000_000n === 0n ? COARSE_TICK_MS : TICK_MS;
    if (now - Number(ctimeNs / 1_000_000n) < tick) isSettled = false;
  }
  return { key: hash.digest('hex'), isSettled };
}

const pushedSchema = contentsSchema.extend({ layers: layersSchema });

/** What this directory was pushed as, if it is still what it was. */
export function recall({ key }: Identity, env?: Environment): Pushed | undefined {
  const dir = ownCacheDir('pushed', env);
  const text = dir && readOwnFile(join(dir, `${key}.json`), MOST_BYTES)?.toString();
  if (text === undefined) return undefined;
  try {
    return pushedSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // it is damaged: everything is read
  }
}

/** Forgets what was remembered first. Directories are not ours. */
function forgetFirst(dir: string): void {
  const kept = readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => join(dir, name))
    .map((path) => ({ path, time: lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.time - a.time);
  for (const { path } of kept.slice(MOST)) removeFile(path);
}

/** Remembers it, and forgets what was remembered first. Where that fails, the next push reads everything. */
export function remember({ key, isSettled }: Identity, pushed: Pushed, env?: Environment): void {
  const dir = isSettled ? ownCacheDir('pushed', env) : undefined;
  if (dir === undefined) return;
  try {
    keepOwnFile(join(dir, `${key}.json`), JSON.stringify(pushed));
    forgetFirst(dir);
  } catch {
    // the directory has been removed just now, or something in it cannot be
  }
}
