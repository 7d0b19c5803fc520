// SPDX-License-Identifier: MIT
/** Whether this process has the rights that criu needs. @module */
import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../errors.ts';

/** Numbers from linux/capability.h. */
const CAP_SYS_PTRACE = 19n;
const CAP_SYS_ADMIN = 21n;
const CAP_CHECKPOINT_RESTORE = 40n;

/**
 * @param what the operation, for the message
 * @param status the text of /proc/self/status
 * @throws {@link EnvironmentError} this user cannot dump or restore any process
 */
export function checkRights(what: string, status = readFileSync('/proc/self/status', 'utf8')): void {
  const bits = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const has = (capability: bigint): boolean => ((bits >> capability) & 1n) === 1n;
  if (has(CAP_SYS_PTRACE) && (has(CAP_SYS_ADMIN) || has(CAP_CHECKPOINT_RESTORE))) return;
  throw new EnvironmentError(`${what} needs the rights of root`, [
    { what: 'CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE', remedy: 'run it as root: sudo criu-cuda …' },
  ]);
}
