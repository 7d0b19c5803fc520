// SPDX-License-Identifier: MIT
/**
 * Finds and installs missing Debian packages.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CommandError, EnvironmentError } from '../errors.ts';
import { tailOf, type ExecResult } from '../exec.ts';
import { projectRoot } from '../paths.ts';
import type { ProgressListener } from '../progress.ts';
import type { System } from '../machine/index.ts';

/** What building and checking this project needs. */
export const buildPackages = [
  'build-essential',
  'cmake',
  'pkg-config',
  'python3',
  'clang-format',
  'xz-utils',
  'libprotobuf-c-dev',
  'liburing-dev',
  'libxxhash-dev',
  'protobuf-c-compiler',
  'protobuf-compiler',
] as const;

/** What building and running CRIU needs. */
export const criuPackages = [
  'libprotobuf-dev',
  'libnl-3-dev',
  'libcap-dev',
  'libnet1-dev',
  'uuid-dev',
  'libbsd-dev',
  'libgnutls28-dev',
  'libnftables-dev',
  'libaio-dev',
] as const;

/**
 * Whether anything is built on this machine: a bundle has no sources, and a package that comes with its binaries needs no
 * compiler, unless its own tests are to be built.
 * @param root the package
 */
export function buildsHere(root: string = projectRoot): boolean {
  const has = (...path: string[]): boolean => existsSync(join(root, 'plugins-cuda', ...path));
  if (!has('CMakeLists.txt')) return false;
  return has('test') || !existsSync(join(root, 'prebuilds', `linux-${process.arch}`, 'lib'));
}

/** The command that installs these packages. */
export function installCommand(packages: readonly string[]): string {
  return `apt-get update && apt-get install --no-install-recommends ${packages.join(' ')}`;
}

/** Those of `packages` that dpkg does not list as installed. */
export async function missingPackages(system: System, packages: readonly string[]): Promise<string[]> {
  let result: ExecResult;
  try {
    // a virtual package counts as installed when something provides it
    const format = '${db:Status-Status} ${Package} ${Provides}\n';
    result = await system.run('dpkg-query', ['--show', `--showformat=${format}`]);
  } catch (error) {
    if (error instanceof CommandError) return [...packages]; // no dpkg: not Debian
    throw error;
  }
  const installed = new Set<string>();
  for (const line of result.stdout.split('\n')) {
    const [status, ...names] = line.replaceAll(/\([^)]*\)|,/g, ' ').split(/\s+/);
    if (status === 'installed') for (const name of names) installed.add(name);
  }
  return packages.filter((name) => !installed.has(name));
}

const aptOptions = [
  '--yes',
  '--option=DPkg::Lock::Timeout=300',
  '--option=Acquire::Retries=3',
  '--option=Dpkg::Use-Pty=0',
] as const;
const APT_TIMEOUT_MS = 20 * 60_000;

/**
 * Installs packages as root. A package list that cannot be fetched is ignored if the packages can be installed
 * anyway.
 * @throws {@link EnvironmentError} when they cannot
 */
export async function installPackages(
  system: System,
  packages: readonly string[],
  report: ProgressListener,
): Promise<void> {
  const options = {
    env: { DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    timeoutMs: APT_TIMEOUT_MS,
    onLine: report,
  };
  const update = await system.run('apt-get', [...aptOptions, 'update'], options);
  const install = await system.run(
    'apt-get',
    [...aptOptions, 'install', '--no-install-recommends', ...packages],
    options,
  );
  if (install.exitCode === 0) return;
  const reason = [update, install]
    .filter((result) => result.exitCode !== 0)
    .map((result) => tailOf(result.stderr || result.stdout, 6))
    .join('\n');
  throw new EnvironmentError(`apt-get cannot install packages:\n${reason}`, [
    { what: `packages ${packages.join(' ')}`, remedy: installCommand(packages) },
  ]);
}
