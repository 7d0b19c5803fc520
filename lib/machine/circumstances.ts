// SPDX-License-Identifier: MIT
/** What decides, besides a criu program itself, whether it passes its check. @module */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { isErrno } from '../errno.ts';

const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts'] as const;

const rights = /^(?:Uid|Gid|Groups|CapEff|CapBnd|NoNewPrivs|Seccomp):.*$/gm;

/** A script stays the same when the program that it runs is another one. */
function isScript(path: string): boolean {
  const file = openSync(path, 'r');
  try {
    const start = Buffer.alloc(2);
    readSync(file, start);
    return start.toString('latin1') === '#!';
  } finally {
    closeSync(file);
  }
}

/** The names of the kernel's modules, without how often each is used. */
function moduleNames(): string[] {
  try {
    const text = readFileSync('/proc/modules', 'utf8');
    return text.split('\n').map((line) => line.split(' ', 1)[0] ?? '');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []; // a kernel without modules
    throw error;
  }
}

/**
 * A checksum of the rights, namespaces and mounts of this process, the modules of the kernel, and whether there is a
 * loopback device; not of the kernel's settings.
 * @returns empty when a failure of this program must not be believed
 */
export async function circumstancesOf(path: string): Promise<string> {
  try {
    if (isScript(path)) return '';
    const status = readFileSync('/proc/self/status', 'utf8');
    const parts = [
      ...(status.match(rights) ?? []),
      ...namespaces.map((name) => readlinkSync(`/proc/self/ns/${name}`)),
      readFileSync('/proc/self/mountinfo', 'utf8'),
      ...moduleNames(),
      String(networkInterfaces().lo !== undefined),
    ];
    const { createHash } = await import('node:crypto'); // loaded only where a check has failed
    return createHash('sha256').update(parts.join('\n')).digest('hex');
  } catch {
    return '';
  }
}
