// SPDX-License-Identifier: MIT
/**
 * Keeps the compiled code of the program's parts in the user's cache. Node 22 and later do this themselves; for Node 20 the
 * loader of CommonJS is given V8's cached code for the files of one directory.
 * @module
 */
import { existsSync, lstatSync, readdirSync, rmSync, statSync } from 'node:fs';
import module from 'node:module';
import { basename, dirname, join } from 'node:path';
import { Script } from 'node:vm';
import { keepOwnFile, ownCacheDir, readOwnFile } from '../own-cache.ts';
import { cacheDir } from '../paths.ts';

/** What Node's loader does with the text of a module; not in its types. */
interface Loaded {
  exports: object;
  require(id: string): unknown;
}
type Compile = (this: Loaded, text: string, file: string, ...rest: unknown[]) => unknown;
type CompiledModule = (
  this: object,
  exports: object,
  require: (id: string) => unknown,
  module: Loaded,
  file: string,
  directory: string,
) => unknown;
type Loader = typeof module & {
  enableCompileCache?: (directory: string) => unknown;
  prototype: { _compile?: Compile };
};

/** Directory in the user's cache, with one for each build of the program. */
const CACHE = 'compiled';

/** What is not of today is of an earlier version, or made again when it is needed. Milliseconds. */
const OLD_MS = 24 * 3600 * 1000;

/**
 * Commands with compiled code of their own, whose start is waited for. What is kept of a file are the functions that
 * the program used when it was written; V8 compiles every other one when it is called.
 */
const quick = new Set(['checkpoint', 'restore', 'wake', 'golden restore', 'pool prefetch']);

/** Which compiled code a command line uses. */
function useOf(words: readonly string[]): string {
  if (words.includes('--help') || words.includes('-h')) return 'other';
  const names = [words.slice(0, 1), words.slice(0, 2)].map((some) => some.join(' '));
  return names.find((name) => quick.has(name))?.replace(' ', '-') ?? 'other';
}

/** A command that fails has not used all that one which succeeds does. */
const isComplete = (use: string, exitCode: number): boolean =>
  use === 'other' || (exitCode !== 1 && exitCode !== 2);

/** Tells this build of the program from others that the user has or had. */
function buildOf(directory: string): string {
  const { ino, mtimeMs } = statSync(directory);
  return `${ino.toString(36)}-${Math.floor(mtimeMs).toString(36)}`;
}

/** What is in a directory that another program may have just removed. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Removes what is in a directory. Nobody needs it, so whatever cannot be removed stays. */
function removeAll(directory: string, mayRemove: (path: string) => boolean = () => true): void {
  for (const name of namesIn(directory)) {
    const path = join(directory, name);
    try {
      if (mayRemove(path)) rmSync(path, { recursive: true, force: true });
    } catch {
      // read-only, or just removed by another program
    }
  }
}

/** Removes what builds have kept that are not of today: another version may be in use as well. */
function removeOld(cache: string, own: string): void {
  removeAll(cache, (path) => path !== own && lstatSync(path).mtimeMs < Date.now() - OLD_MS);
}

/** Lets the modules below `directory` be compiled with the code kept in `cache`, and keeps what is missing at the end. */
function useKept(
  loader: Loader,
  directory: string,
  cache: string,
  isWorthKeeping: (exitCode: number) => boolean,
): void {
  const compile = loader.prototype._compile;
  if (!compile) return;
  const fresh = new Map<string, Script>();
  loader.prototype._compile = function (text, file, ...rest) {
    if (dirname(file) !== directory) return compile.call(this, text, file, ...rest);
    // a part has another name when its text changes; V8 refuses the code of another version of itself
    const path = join(cache, `${basename(file)}.${process.version}.${process.arch}`);
    const cachedData = readOwnFile(path);
    const script = new Script(module.wrap(text), { filename: file, ...(cachedData ? { cachedData } : {}) });
    if (!cachedData || script.cachedDataRejected === true) fresh.set(path, script);
    const run = script.runInThisContext() as CompiledModule;
    return run.call(this.exports, this.exports, (id) => this.require(id), this, file, directory);
  };
  process.once('exit', (exitCode) => {
    if (!isWorthKeeping(exitCode)) return;
    // by now it has the functions that were used
    for (const [path, script] of fresh) keepOwnFile(path, script.createCachedData());
  });
}

/** Says that a command which failed has kept what is in the directory; the next one does not use it. */
const INCOMPLETE = 'incomplete';

/** Lets Node keep the compiled code in `cache`. It cannot be told not to, once a command has failed. */
function letNodeKeep(
  enable: (directory: string) => unknown,
  cache: string,
  isWorthKeeping: (exitCode: number) => boolean,
): void {
  const mark = join(cache, INCOMPLETE);
  if (existsSync(mark)) removeAll(cache);
  const isFirst = namesIn(cache).length === 0;
  enable(cache);
  if (isFirst)
    process.once('exit', (exitCode) => {
      if (!isWorthKeeping(exitCode)) keepOwnFile(mark, '');
    });
}

/**
 * Keeps the compiled code of the files in `directory` that are loaded from now on. Without a cache directory that is this
 * user's, nothing is kept.
 * @param words the command line
 */
export function keepCompiled(directory: string, words: readonly string[]): void {
  const loader = module as Loader;
  const [cache, build, use] = [join(cacheDir(), CACHE), buildOf(directory), useOf(words)];
  const isNew = !existsSync(join(cache, build));
  const own = ownCacheDir(join(CACHE, build, use));
  if (own === undefined) return;
  const isWorthKeeping = (exitCode: number): boolean => isComplete(use, exitCode);
  if (loader.enableCompileCache) letNodeKeep(loader.enableCompileCache, own, isWorthKeeping);
  else useKept(loader, directory, own, isWorthKeeping);
  if (isNew)
    process.once('exit', () => {
      removeOld(cache, join(cache, build));
    });
}
