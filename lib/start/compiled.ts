// SPDX-License-Identifier: MIT
/**
 * Keeps the compiled code of the program's parts in the user's cache. Node 22 and later do this themselves; for Node 20 the
 * loader of CommonJS is given V8's cached code for the files of one directory.
 * @module
 */
import module from 'node:module';
import { basename, dirname, join } from 'node:path';
import { Script } from 'node:vm';
import { keepOwnFile, ownCacheDir, readOwnFile } from '../own-cache.ts';

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

/** Lets the modules below `directory` be compiled with the code kept in `cache`, and keeps what is missing at the end. */
function useKept(loader: Loader, directory: string, cache: string): void {
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
  process.once('exit', () => {
    // by now it has the functions that were used
    for (const [path, script] of fresh) keepOwnFile(path, script.createCachedData());
  });
}

/**
 * Keeps the compiled code of the files in `directory` that are loaded from now on. Without a cache directory that is this
 * user's, nothing is kept.
 */
export function keepCompiled(directory: string): void {
  const loader = module as Loader;
  const cache = ownCacheDir('compiled');
  if (cache === undefined) return;
  if (loader.enableCompileCache) loader.enableCompileCache(cache);
  else useKept(loader, directory, cache);
}
