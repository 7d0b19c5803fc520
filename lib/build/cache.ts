// SPDX-License-Identifier: MIT
/**
 * CMake's cache names the directories that it was created for. In a copied or moved checkout, a build with it would
 * compile the sources of the original.
 * @module
 */
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';

function entry(cache: string, name: string): string | undefined {
  return new RegExp(`^${name}:INTERNAL=(.*)$`, 'm').exec(cache)?.[1];
}

function isSame(named: string | undefined, dir: string): boolean {
  return named !== undefined && existsSync(named) && realpathSync(named) === realpathSync(dir);
}

/**
 * Removes the configuration of a build directory that was created elsewhere or for other sources, so that the next
 * build configures again. Does nothing for a directory that is not configured.
 * @returns whether it was removed
 */
export function removeForeignCache(buildDir: string, sourceDir: string): boolean {
  const path = join(buildDir, 'CMakeCache.txt');
  if (!existsSync(path)) return false;
  const cache = readFileSync(path, 'utf8');
  if (
    isSame(entry(cache, 'CMAKE_HOME_DIRECTORY'), sourceDir) &&
    isSame(entry(cache, 'CMAKE_CACHEFILE_DIR'), buildDir)
  ) {
    return false;
  }
  rmSync(path);
  rmSync(join(buildDir, 'CMakeFiles'), { recursive: true, force: true });
  return true;
}
