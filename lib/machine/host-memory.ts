// SPDX-License-Identifier: MIT
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The files of a memory cgroup, version 2 and version 1. */
const FILES = {
  unified: { limit: 'memory.max', usage: 'memory.current', cache: /^(?:in)?active_file (\d+)$/gm },
  memory: {
    limit: 'memory.limit_in_bytes',
    usage: 'memory.usage_in_bytes',
    cache: /^total_(?:in)?active_file (\d+)$/gm,
  },
} as const;

/** Version 1 has no word for "unlimited", but a number of this size. */
const NO_LIMIT = 2 ** 60;

function read(...path: string[]): string {
  try {
    return readFileSync(join(...path), 'utf8');
  } catch {
    return '';
  }
}

/** What the limit of one cgroup leaves; page cache counts as free. Bytes. */
function roomIn(dir: string, { limit, usage, cache }: (typeof FILES)[keyof typeof FILES]): number {
  const most = Number.parseInt(read(dir, limit), 10); // "max" is not a number
  const used = Number.parseInt(read(dir, usage), 10);
  if (Number.isNaN(most) || Number.isNaN(used) || most >= NO_LIMIT) return Infinity;
  const cached = [...read(dir, 'memory.stat').matchAll(cache)].reduce((sum, [, n]) => sum + Number(n), 0);
  return Math.max(0, most - Math.max(0, used - cached));
}

/** What the limits of the cgroups of a process leave. Bytes. */
function cgroupRoom(pid: number | 'self', root: string): number {
  const groups = read(root, 'proc', String(pid), 'cgroup');
  const memory = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(groups)?.[1];
  const path = memory ?? /^0::(.*)$/m.exec(groups)?.[1];
  // not the cgroup of a container that is next to ours
  if (path === undefined || path.startsWith('/..')) return Infinity;
  const mounts = join(root, 'sys/fs/cgroup');
  const unified = existsSync(join(mounts, 'cgroup.controllers')) ? mounts : join(mounts, 'unified');
  const mount = memory === undefined ? unified : join(mounts, 'memory');
  const files = memory === undefined ? FILES.unified : FILES.memory;
  // up to the mount: a container sees its own cgroup there
  const room = (dir: string): number =>
    Math.min(roomIn(join(mount, dir), files), dir === '/' ? Infinity : room(dirname(dir)));
  return room(join('/', path));
}

/**
 * What the kernel can give a process without swapping, and what the memory limits of its cgroups leave of that.
 *
 * @param pid @default this program
 * @param root @default `/`
 * @returns bytes; `undefined` where neither says
 */
export function availableHostMemory(pid: number | 'self' = 'self', root = '/'): number | undefined {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(read(root, 'proc/meminfo'))?.[1];
  const machine = kibibytes === undefined ? Infinity : Number(kibibytes) * 1024;
  const least = Math.min(machine, cgroupRoom(pid, root));
  return least === Infinity ? undefined : least;
}
