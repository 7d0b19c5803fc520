// SPDX-License-Identifier: MIT
// The files of this checkout that git tracks or would add, as paths relative to its root.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** @throws Error outside of a git checkout: a package has no sources to check */
export function sourceFiles() {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const { status, stdout, stderr, error } = spawnSync('git', args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`git ls-files failed: ${error ? error.message : stderr.trim()}`);
  return [...new Set(stdout.split('\0'))].filter((path) => path !== '' && existsSync(path)).sort();
}
