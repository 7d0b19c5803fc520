// SPDX-License-Identifier: MIT
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { availableHostMemory } from '../../../lib/machine/index.ts';

const GIB = 2 ** 30;
let root: string;

function put(path: string, text: string | number): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

const room = (): number => (availableHostMemory(4711, root) ?? NaN) / GIB;
const beIn = (line: string): void => {
  put('proc/4711/cgroup', line);
};

/** Of version 2. */
function limit(dir: string, most: number, used: number): void {
  put(`sys/fs/cgroup${dir}/memory.max`, most * GIB);
  put(`sys/fs/cgroup${dir}/memory.current`, used * GIB);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'host-memory-'));
  put('proc/meminfo', 'MemTotal: 134217728 kB\nMemAvailable:   67108864 kB');
  put('sys/fs/cgroup/cgroup.controllers', 'memory');
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

it('is that of the machine where no cgroup has a limit', () => {
  expect(room()).toBe(64);
  beIn('0::/job');
  put('sys/fs/cgroup/job/memory.max', 'max');
  put('sys/fs/cgroup/job/memory.current', GIB);
  expect(room()).toBe(64);
  limit('/job', 128, 1);
  expect(room()).toBe(64);
});

describe('cgroups of version 2', () => {
  it('leave what the tightest one leaves, and page cache is free', () => {
    beIn('0::/slice/job');
    limit('/slice/job', 8, 3);
    expect(room()).toBe(5);
    limit('/slice', 9, 7);
    expect(room()).toBe(2);
    put('sys/fs/cgroup/slice/memory.stat', `inactive_file ${GIB}\nactive_file ${GIB}`);
    expect(room()).toBe(4);
    limit('/slice', 1, 7);
    expect(room()).toBe(0);
  });

  it('of a container are below its own, which is the root', () => {
    limit('', 8, 3);
    beIn('0::/');
    expect(room()).toBe(5);
    beIn('0::/init');
    expect(room()).toBe(5);
    beIn('0::/../other');
    expect(room()).toBe(64);
  });

  it('count next to those of version 1 without a controller for memory', () => {
    rmSync(join(root, 'sys/fs/cgroup/cgroup.controllers'));
    beIn('3:cpu:/job\n0::/job');
    limit('/unified/job', 8, 3);
    expect(room()).toBe(5);
  });
});

it('counts cgroups of version 1', () => {
  beIn('5:hugetlb,memory:/docker/0123\n0::/');
  put('sys/fs/cgroup/memory/docker/memory.limit_in_bytes', 32 * GIB);
  put('sys/fs/cgroup/memory/docker/memory.usage_in_bytes', 16 * GIB);
  expect(room()).toBe(16);
  put('sys/fs/cgroup/memory/docker/memory.limit_in_bytes', '9223372036854771712');
  expect(room()).toBe(64);
  // Docker mounts the container's own cgroup, and leaves the path that the host sees
  put('sys/fs/cgroup/memory/memory.limit_in_bytes', 4 * GIB);
  put('sys/fs/cgroup/memory/memory.usage_in_bytes', GIB);
  expect(room()).toBe(3);
});

it('is not known where nothing says', () => {
  rmSync(join(root, 'proc/meminfo'));
  expect(availableHostMemory(4711, root)).toBeUndefined();
});
