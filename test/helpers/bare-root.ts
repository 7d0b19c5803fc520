// SPDX-License-Identifier: MIT
/**
 * A root file system with a shell, glibc and libstdc++ only, which proves that a bundle brings everything else: it has
 * no node, criu or compiler, and none of their libraries.
 */
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { execResult, type ExecResult } from '../../lib/exec.ts';

const programs = ['sh', 'dirname', 'readlink', 'env', 'umount'];

/** Files that node and koffi need in addition; every distribution has them. */
const base = ['libc', 'libm', 'libdl', 'libpthread', 'librt', 'libstdc++', 'libgcc_s'];

function librariesOf(file: string): string[] {
  const text = execFileSync('ldd', [file], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '');
}

function copyInto(root: string, path: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  copyFileSync(path, join(root, path));
}

/** Builds the root file system in an empty directory. */
export function makeBareRoot(root: string): void {
  for (const dir of ['dev', 'proc', 'sys', 'tmp', 'run', 'old', 'etc', 'root', 'opt', 'bin']) {
    mkdirSync(join(root, dir), { recursive: true });
  }
  writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  const libraries = new Set<string>();
  for (const name of programs) {
    const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    cpSync(path, join(root, 'bin', name), { dereference: true });
    for (const library of librariesOf(path)) libraries.add(library);
  }
  for (const library of librariesOf(process.execPath)) {
    const name = /\/([^/]+?)(?:-|\.so)/.exec(library.slice(library.lastIndexOf('/')))?.[1] ?? '';
    if (base.includes(name) || name.startsWith('ld')) libraries.add(library);
  }
  for (const library of libraries) copyInto(root, library);
}

const ENTER = `
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount --rbind /dev dev
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs none run
pivot_root . old
cd /
/bin/umount -l /old
shift
exec /bin/env -i HOME=/root PATH=/bin "$@"`;

/** Runs a command with the bare root as `/`; its environment has only HOME and PATH. */
export function runInBareRoot(root: string, words: readonly string[]): Promise<ExecResult> {
  return execResult('unshare', ['--mount', 'sh', '-c', ENTER, 'sh', root, ...words], { timeoutMs: 120_000 });
}
