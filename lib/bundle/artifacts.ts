// SPDX-License-Identifier: MIT
/**
 * The part of the C build that ships: no files that only builds and tests need, and no debug information.
 * @module
 */
import { lstatSync } from 'node:fs';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { exec } from '../exec.ts';
import { interceptorFileName, interceptorFileNames, newestInterceptor } from '../paths.ts';

const programs = [
  'workload-pattern',
  'workload-ranks',
  'cuda-checkpoint',
  'criu-cuda-run',
  'criu-cuda-start',
  'criu-cuda-isolate',
  'ccr-free-ports',
  'ccr-image',
  'ccr-settings',
  'ccr-transfer-bench',
  'ccr-gate-bench',
];

/** Removes everything from ELF files that is not needed to run them. */
export async function stripFiles(paths: readonly string[]): Promise<void> {
  await exec('strip', ['--strip-unneeded', ...paths]);
}

/** Symbolic links are only for the linker. Of the interceptor, only the newest build ships. */
function isShipped(path: string): boolean {
  if (lstatSync(path).isSymbolicLink()) return false;
  return !interceptorFileNames.test(basename(path)) || path === newestInterceptor(dirname(path));
}

/** Copies `lib` and `bin` below `target`. @param from `buildDir()` or `artifactDir()` */
export async function copyArtifacts(from: string, target: string): Promise<void> {
  await mkdir(join(target, 'bin'), { recursive: true });
  await cp(join(from, 'lib'), join(target, 'lib'), { recursive: true, filter: isShipped });
  for (const name of programs) await cp(join(from, 'bin', name), join(target, 'bin', name));
  const files = await readdir(target, { recursive: true, withFileTypes: true });
  await stripFiles(files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name)));
}

/** Gives the interceptor below `target` its name without build id, which a package of npm cannot have. */
export async function linkInterceptor(target: string): Promise<void> {
  const dir = join(target, 'lib', 'intercept');
  await symlink(basename(newestInterceptor(dir)), join(dir, interceptorFileName));
}
