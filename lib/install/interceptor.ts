// SPDX-License-Identifier: MIT
/**
 * The interceptor beside an installed plugin, in a directory that an upgrade of this package does not replace. Every
 * build is a file of its own, because images name it; a link names the build to use. CRIU loads nothing from there.
 * @module
 */
import { lstatSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm, rmdir, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  interceptorFileName,
  interceptorFileNames,
  interceptorLibrary,
  newestInterceptor,
  pluginDirectories,
  type Environment,
} from '../paths.ts';
import { fileFacts, putFile } from './directory.ts';

/** The directory next to the plugins. */
const interceptorDirName = 'criu-cuda';

const dirOf = (libdir: string): string => join(libdir, interceptorDirName);

/** Makes a build the one that programs get; `undefined` for none. Files of other builds stay. */
export async function selectInterceptor(libdir: string, name: string | undefined): Promise<void> {
  const plain = join(dirOf(libdir), interceptorFileName);
  if (name === undefined) return rm(plain, { force: true });
  const temporary = `${plain}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  await symlink(name, temporary);
  await rename(temporary, plain);
}

/** Copies a build and makes it the one that programs get. @returns its name */
export async function addInterceptor(libdir: string, path: string): Promise<string> {
  const name = basename(path);
  const target = join(dirOf(libdir), name);
  await mkdir(dirOf(libdir), { recursive: true });
  // a file that processes have mapped is not replaced
  if (fileFacts(target)?.sha256 !== fileFacts(path)?.sha256) await putFile(path, target, 0o755);
  await selectInterceptor(libdir, name);
  return name;
}

/** Removes all builds. */
export async function removeInterceptors(libdir: string): Promise<void> {
  const dir = dirOf(libdir);
  const isThere = lstatSync(dir, { throwIfNoEntry: false })?.isDirectory() === true;
  for (const name of isThere ? readdirSync(dir) : []) {
    if (interceptorFileNames.test(name)) await rm(join(dir, name));
  }
  // with other files in it, it is not only ours
  await rmdir(dir).catch(() => undefined);
}

/**
 * The interceptor for programs that are started now: the installed one, if there is one, so that an upgrade of this
 * package takes no file away that images name; otherwise that of this package. CRIU_CUDA_BUILD_DIR names another one.
 */
export function programInterceptor(
  env: Environment = process.env,
  libdirs: readonly string[] = pluginDirectories,
): string {
  if (env.CRIU_CUDA_BUILD_DIR !== undefined) return interceptorLibrary(env);
  const installed = libdirs.find(
    (libdir) =>
      lstatSync(join(dirOf(libdir), interceptorFileName), { throwIfNoEntry: false })?.isSymbolicLink() ===
      true,
  );
  return installed === undefined ? interceptorLibrary(env) : newestInterceptor(dirOf(installed));
}
