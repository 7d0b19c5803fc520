// SPDX-License-Identifier: MIT
/**
 * The part of the C build that ships: no files that only builds and tests need, and no debug information.
 * @module
 */
import { lstatSync } from 'node:fs';
import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '../exec.ts';

const programs = ['workload-pattern', 'ccr-image', 'ccr-settings', 'ccr-transfer-bench', 'ccr-gate-bench'];

/** Removes everything from ELF files that is not needed to run them. */
export async function stripFiles(paths: readonly string[]): Promise<void> {
  await exec('strip', ['--strip-unneeded', ...paths]);
}

/** Copies `lib` and `bin` below `target`. @param from `buildDir()` or `artifactDir()` */
export async function copyArtifacts(from: string, target: string): Promise<void> {
  await mkdir(join(target, 'bin'), { recursive: true });
  // symbolic links are only for the linker
  const filter = (path: string): boolean => !lstatSync(path).isSymbolicLink();
  await cp(join(from, 'lib'), join(target, 'lib'), { recursive: true, filter });
  for (const name of programs) await cp(join(from, 'bin', name), join(target, 'bin', name));
  const files = await readdir(target, { recursive: true, withFileTypes: true });
  await stripFiles(files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name)));
}
