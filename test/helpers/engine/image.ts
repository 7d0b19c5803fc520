// SPDX-License-Identifier: MIT
/** A root file system with workload-pattern and the libraries it needs, made from files of this machine. */
import { cpSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exec } from '../../../lib/exec.ts';
import { builtProgram, interceptorLibrary, softcudaLibrary } from '../../../lib/paths.ts';

async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await exec('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

/** Writes it below a directory, which is created. */
export async function makeRootfs(root: string): Promise<void> {
  const program = builtProgram('workload-pattern');
  const users = [program, softcudaLibrary(), interceptorLibrary()];
  const libraries = new Set((await Promise.all(users.map(librariesOf))).flat());
  for (const library of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    cpSync(realpathSync(library), join(root, library));
  }
  // CRIU restores a read-only root only with /tmp
  for (const dir of ['bin', 'tmp']) mkdirSync(join(root, dir), { recursive: true });
  cpSync(program, join(root, 'bin', 'workload-pattern'));
}

/** The same as a tar file in a directory. @returns its path */
export async function rootfsTar(dir: string): Promise<string> {
  const root = join(dir, 'rootfs');
  const file = join(dir, 'rootfs.tar');
  await makeRootfs(root);
  await exec('tar', ['--create', '--file', file, '--directory', root, '.']);
  return file;
}
