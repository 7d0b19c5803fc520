// SPDX-License-Identifier: MIT
/** What the Debian package's scripts do with the interceptors of several versions, in a root directory of their own. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

const scripts = ['postinst', 'postrm'] as const;
const nameOf = (digit: string) => `libcuda_intercept-${digit.repeat(16)}.so`;

let dir: string;
let root: string;
let installed: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-deb-upgrade-'));
  root = join(dir, 'root');
  installed = join(root, 'usr/lib/criu-cuda/intercept');
  for (const one of ['info', 'updates']) mkdirSync(join(root, 'var/lib/dpkg', one), { recursive: true });
  writeFileSync(join(root, 'var/lib/dpkg/status'), '');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** A package with our scripts and nothing but the interceptor of one build. */
async function build(version: string, digit: string, text: string): Promise<string> {
  const tree = join(dir, `tree-${version}`);
  const source = join(tree, 'usr/lib/criu-cuda/interceptor');
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, nameOf(digit)), text);
  for (const script of scripts) {
    const from = readFileSync(join(projectRoot, 'debian', `criu-cuda-plugins.${script}`), 'utf8');
    writeFileSync(join(tree, 'DEBIAN', script), from.replace('#DEBHELPER#', ''));
    chmodSync(join(tree, 'DEBIAN', script), 0o755);
  }
  const fields = {
    Package: 'criu-cuda-plugins',
    Version: version,
    Architecture: 'all',
    Maintainer: 'test',
    Description: 'test',
  };
  const control = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`);
  writeFileSync(join(tree, 'DEBIAN', 'control'), control.join(''));
  const file = join(dir, `${version}.deb`);
  await exec('dpkg-deb', ['--root-owner-group', '--build', tree, file]);
  return file;
}

const dpkg = (...args: string[]) =>
  exec('dpkg', [`--root=${root}`, '--force-script-chrootless', '--force-not-root', ...args]);
const newest = () => readlinkSync(join(installed, 'libcuda_intercept.so'));

it('an upgrade keeps earlier builds, and the removal takes all of them', async (context) => {
  if (findOnPath('dpkg-deb', process.env.PATH) === undefined) context.skip('dpkg-dev is not installed');
  await dpkg('--install', await build('1', 'a', 'first'));
  expect(newest()).toBe(nameOf('a'));
  const { ino } = statSync(join(installed, nameOf('a')));

  await dpkg('--install', await build('2', 'b', 'second'));
  expect(newest()).toBe(nameOf('b'));
  expect(readFileSync(join(installed, nameOf('b')), 'utf8')).toBe('second');
  // the same file, not a copy: processes have it mapped
  expect(statSync(join(installed, nameOf('a'))).ino).toBe(ino);

  await dpkg('--install', await build('3', 'a', 'first'));
  expect(newest()).toBe(nameOf('a'));
  expect(statSync(join(installed, nameOf('a'))).ino).toBe(ino);
  expect(readdirSync(installed).sort()).toEqual(['libcuda_intercept.so', nameOf('a'), nameOf('b')].sort());

  await dpkg('--remove', 'criu-cuda-plugins');
  expect(existsSync(join(root, 'usr/lib/criu-cuda'))).toBe(false);
});
