// SPDX-License-Identifier: MIT
/**
 * Making directories that a user named.
 * @module
 */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { describeError, UsageError } from './errors.ts';

/**
 * Makes a directory and what is missing above it, one after the other: asked to do all of it at once, Node never
 * comes back from a path below /proc.
 * @param mode of each that is made
 * @throws {@link UsageError} naming what is in the way
 */
export function makeDirectory(path: string, mode?: number): void {
  const missing: string[] = [];
  let parent = resolve(path);
  for (; !existsSync(parent); parent = dirname(parent)) missing.unshift(parent);
  if (!statSync(parent).isDirectory()) throw new UsageError(`${parent} is not a directory`);
  for (const one of missing) {
    try {
      mkdirSync(one, { mode });
    } catch (error) {
      if (existsSync(one)) continue; // somebody else has just made it
      throw new UsageError(`${one} cannot be made: ${describeError(error)}`);
    }
  }
}
