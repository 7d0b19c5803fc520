// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { chooseLastPid, findIsolatedTree } from '../../../lib/isolated/index.ts';

const most = Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8'));

it('leaves room between the pids of the tree for criu', () => {
  const used = Array.from({ length: Math.floor(most / 3000) }, (_, i) => 3000 * i + 1);
  for (let i = 0; i < 50; i++) {
    const last = chooseLastPid(used);
    expect(last).toBeGreaterThanOrEqual(1000);
    expect(last + 1000).toBeLessThanOrEqual(most);
    expect(used.filter((pid) => pid >= last && pid <= last + 1000)).toEqual([]);
  }
});

it('finds no isolated tree among processes of this namespace', () => {
  expect(findIsolatedTree(process.pid)).toBeUndefined();
  expect(findIsolatedTree(most + 1)).toBeUndefined();
});
