// SPDX-License-Identifier: MIT
/** Cgroups of version 1. */
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { killTree } from '../../lib/process/index.ts';
import { waitUntil } from './wait.ts';

export interface Cgroup {
  dir: string;
  /** Ends the processes in it, first. */
  remove: () => Promise<void>;
}

/** A new cgroup below this program's own; skips the test without the controller. */
export function makeCgroup(controller: string, name: string, context: TestContext): Cgroup {
  const groups = readFileSync('/proc/self/cgroup', 'utf8');
  const own = new RegExp(`:${controller}:(.*)$`, 'm').exec(groups)?.[1];
  const above = join('/sys/fs/cgroup', controller, own ?? '');
  if (own === undefined || !existsSync(above)) context.skip('this machine has no cgroups of version 1');
  const dir = join(above, name);
  mkdirSync(dir);
  const members = (): string => readFileSync(join(dir, 'cgroup.procs'), 'utf8');
  return {
    dir,
    async remove() {
      for (const pid of members().split('\n').filter(Boolean)) await killTree(Number(pid));
      await waitUntil(() => members() === '');
      rmdirSync(dir);
    },
  };
}
