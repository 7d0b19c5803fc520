// SPDX-License-Identifier: MIT
/**
 * The installed packages that the command line needs to run.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { EnvironmentError } from '../errors.ts';

interface Manifest {
  dependencies?: Record<string, string> | undefined;
  optionalDependencies?: Record<string, string> | undefined;
}

/** Needed only to build. */
const buildOnly = new Set(['node-addon-api']);

function readManifest(dir: string): Manifest {
  return JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Manifest;
}

/** Finds a package as Node does: in `node_modules` of the directory and of each of its parents. */
function findPackage(name: string, from: string): string | undefined {
  for (let dir = from; ; dir = dirname(dir)) {
    const candidate = join(dir, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (dir === dirname(dir)) return undefined;
  }
}

export interface InstalledPackage {
  name: string;
  dir: string;
  /** Relative to the directory above the package that needs them, so that Node finds the same ones from there. */
  target: string;
}

function targetOf(root: string, app: string, at: string): string {
  if (at.startsWith(root + sep)) return join(app, relative(root, at));
  let above = dirname(root);
  while (!at.startsWith(above + sep)) above = dirname(above);
  const path = relative(above, at);
  return basename(above) === 'node_modules' ? join('node_modules', path) : path;
}

/**
 * Every package that the one in `root` needs at run time, each once. The one in `root` itself becomes the directory
 * `app`.
 * @throws `EnvironmentError` when one is not installed
 */
export function runtimePackages(root: string, app: string): InstalledPackage[] {
  const found = new Map<string, InstalledPackage>();
  const visit = (dir: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = readManifest(dir);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (buildOnly.has(name)) continue;
      const at = findPackage(name, dir);
      if (at === undefined) {
        if (name in optionalDependencies) continue; // for another platform
        throw new EnvironmentError(`package ${name} is not installed`, [
          { what: `node_modules/${name}`, remedy: 'npm ci' },
        ]);
      }
      if (found.has(at)) continue;
      found.set(at, { name, dir: at, target: targetOf(root, app, at) });
      visit(at);
    }
  };
  visit(root);
  return [...found.values()];
}

const isNeeded = (path: string): boolean => !/\.(?:d\.[cm]?ts|map|md)$/.test(path);

/** Copies one package to its target below `dir`, without declarations, source maps and documentation. */
export async function copyPackage(one: InstalledPackage, dir: string): Promise<void> {
  const target = join(dir, one.target);
  const nested = join(one.dir, 'node_modules');
  await cp(one.dir, target, {
    recursive: true,
    dereference: true,
    filter: (path) => isNeeded(path) && path !== nested,
  });
}
