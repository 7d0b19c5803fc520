// SPDX-License-Identifier: MIT
/**
 * What ships of the C build: without what only its own build and tests need, and without debug information.
 * @module
 */
import { lstatSync } from 'node:fs';
import { cp, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '../exec.ts';

const programs = ['workload-pattern', 'ccr-image', 'ccr-settings', 'ccr-transfer-bench', 'ccr-gate-bench'];

/** Takes everything out of ELF files that running them does not need. */
export async function stripFiles(paths: readonly string[]): Promise<void> {
  await exec('strip', ['--strip-unneeded', ...paths]);
}

/** Copies `lib` and `bin` below `target`. @param from `buildDir()` or `artefactDir()` */
export async function copyArtefacts(from: string, target: string): Promise<void> {
  await mkdir(join(target, 'bin'), { recursive: true });
  // links are for linking with
  const filter = (path: string): boolean => !lstatSync(path).isSymbolicLink();
  await cp(join(from, 'lib'), join(target, 'lib'), { recursive: true, filter });
  for (const name of programs) await cp(join(from, 'bin', name), join(target, 'bin', name));
  const files = await readdir(target, { recursive: true, withFileTypes: true });
  await stripFiles(files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name)));
}
