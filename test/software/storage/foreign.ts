// SPDX-License-Identifier: MIT
/**
 * Images whose programs have another C library than this machine: musl, or a glibc from which they need nothing that is
 * newer than 2.17. Their CUDA driver is softcuda, built for that library.
 */
import { chmodSync, cpSync, existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exec } from '../../../lib/exec.ts';
import { oldestGlibc } from '../../../lib/inspect/libc.ts';
import { compareVersions, findOnPath } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { muslLoader } from '../../helpers/musl.ts';

export type Libc = 'glibc' | 'musl';

/** Where the driver is in such an image. */
export const FOREIGN_DRIVER = '/lib/libcuda.so.1';

const sysroot = join(projectRoot, 'tmp', 'old-glibc-root');
const glibcDir = '/lib/x86_64-linux-gnu';

const files: Record<Libc, readonly string[]> = {
  glibc: [
    '/lib64/ld-linux-x86-64.so.2',
    ...['libc.so.6', 'libpthread.so.0', 'libdl.so.2'].map((name) => join(glibcDir, name)),
  ],
  musl: [muslLoader],
};

/** Why there can be no images with this C library here. */
export function noForeign(libc: Libc): string | undefined {
  if (process.arch !== 'x64') return 'programs for other C libraries are built for x86-64';
  if (libc === 'glibc' && !existsSync(join(sysroot, 'usr', 'include', 'stdio.h')))
    return `there is no older glibc in ${sysroot} (scripts/old-glibc.sh)`;
  if (libc === 'musl' && findOnPath('musl-gcc', process.env.PATH ?? '') === undefined)
    return 'the package musl-tools is not installed';
  return undefined;
}

/** The newest version of glibc from which a file needs something. */
async function neededGlibc(file: string): Promise<string> {
  const { stdout } = await exec('readelf', ['--version-info', '--wide', file]);
  const versions = [...stdout.matchAll(/Name: GLIBC_([\d.]+)/g)].map((match) => match[1] ?? '');
  return versions.sort(compareVersions).at(-1) ?? '0';
}

/** Writes the files of an image below a directory, which is created. */
export async function makeForeignRootfs(root: string, libc: Libc): Promise<void> {
  const built = join(dirname(root), libc);
  await exec('sh', [join(import.meta.dirname, 'foreign.sh'), libc, sysroot, built]);
  for (const dir of ['bin', 'tmp']) mkdirSync(join(root, dir), { recursive: true });
  for (const file of files[libc]) {
    mkdirSync(join(root, dirname(file)), { recursive: true });
    cpSync(libc === 'glibc' ? join(sysroot, file) : file, join(root, file), { dereference: true });
  }
  for (const [name, target] of [
    ['workload-pattern', '/bin/workload-pattern'],
    ['libcuda.so.1', FOREIGN_DRIVER],
  ] as const) {
    const file = join(built, name);
    if (libc === 'glibc' && compareVersions(await neededGlibc(file), oldestGlibc) > 0)
      throw new Error(`${file} needs glibc ${await neededGlibc(file)}`);
    cpSync(file, join(root, target));
    chmodSync(join(root, target), 0o755);
  }
}
