// SPDX-License-Identifier: MIT
/** Whether this process has the rights that criu needs. @module */
import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';
import { findOnPath } from './find-on-path.ts';

/** Numbers from linux/capability.h. */
const numbers = {
  CAP_SYS_PTRACE: 19n,
  CAP_SYS_ADMIN: 21n,
  CAP_SYS_RESOURCE: 24n,
  CAP_CHECKPOINT_RESTORE: 40n,
} as const;

/** A capability that criu needs, or that it can do more with. */
export type Capability = keyof typeof numbers;

/** The effective capabilities of a process, a bit each. @param status the text of /proc/PID/status */
export const capabilityBits = (status: string): bigint =>
  BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);

/** Those that criu is concerned with. @param status the text of /proc/PID/status */
export function effectiveCapabilities(status: string): Set<Capability> {
  const bits = capabilityBits(status);
  const names = Object.keys(numbers) as Capability[];
  return new Set(names.filter((name) => ((bits >> numbers[name]) & 1n) === 1n));
}

/** Where sudo looks for programs, whatever PATH its caller has. */
const sudoPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * How to run the program as root. npm may have installed it, or Node itself, where sudo alone finds none or another.
 * @param find looks for a program
 */
export function sudoCommand(find: (name: string, path: string) => string | undefined = findOnPath): string {
  const ofRoot = find('criu-cuda', sudoPath);
  const own = find('criu-cuda', process.env.PATH ?? '') ?? ofRoot;
  const isFound = ofRoot !== undefined && ofRoot === own && find('node', sudoPath) !== undefined;
  return `sudo ${isFound ? '' : 'env "PATH=$PATH" '}criu-cuda …`;
}

/** Whether they are enough to dump and restore processes of this user. */
export const canDump = (has: ReadonlySet<Capability>): boolean =>
  has.has('CAP_SYS_PTRACE') && (has.has('CAP_SYS_ADMIN') || has.has('CAP_CHECKPOINT_RESTORE'));

/**
 * @param what the operation, for the message
 * @param status the text of /proc/self/status
 * @throws {@link EnvironmentError} this user cannot dump or restore any process
 */
export function checkRights(what: string, status = readFileSync('/proc/self/status', 'utf8')): void {
  if (canDump(effectiveCapabilities(status))) return;
  throw new EnvironmentError(`${what} needs the rights of root`, [
    { what: 'CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE', remedy: `run it as root: ${sudoCommand()}` },
  ]);
}
