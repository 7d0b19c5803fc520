// SPDX-License-Identifier: MIT
/**
 * Where results are written when no file is named: a new directory below `results` with the date.
 * @module
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

/** `2026-11-28-234510`, in UTC. */
function dateName(now: Date): string {
  const [day = '', time = ''] = now.toISOString().split('T');
  return `${day}-${time.slice(0, 8).replaceAll(':', '')}`;
}

/**
 * The path of the result `NAME.json`, in a directory that does not exist yet.
 * @param root directory of results, here by default
 */
export function resultFile(name: string, root = 'results', now = new Date()): string {
  const dir = resolve(root, dateName(now));
  let free = dir;
  for (let count = 2; existsSync(free); count += 1) free = `${dir}-${count}`;
  return resolve(free, `${name}.json`);
}
