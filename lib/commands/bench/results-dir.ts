// SPDX-License-Identifier: MIT
/**
 * Where results are written when no file is named: a directory below `results` with the date, or the newest one that has
 * an interrupted run of the same command.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const dated = /^\d{4}-\d\d-\d\d-\d{4}$/;

/** `2026-11-28-2345`, in UTC. */
export function dateName(now: Date): string {
  const [day = '', time = ''] = now.toISOString().split('T');
  return `${day}-${time.slice(0, 5).replace(':', '')}`;
}

/**
 * The path of the result `NAME.json`.
 * @param root directory of results, here by default
 */
export function resultFile(name: string, root = 'results', now = new Date()): string {
  const earlier = existsSync(root) ? readdirSync(root).filter((dir) => dated.test(dir)) : [];
  const interrupted = earlier
    .sort()
    .reverse()
    .find((dir) => existsSync(join(root, dir, `${name}.json.partial`)));
  return resolve(root, interrupted ?? dateName(now), `${name}.json`);
}
