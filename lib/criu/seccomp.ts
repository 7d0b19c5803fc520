// SPDX-License-Identifier: MIT
/**
 * Seccomp filters of processes. CRIU suspends them while it works inside a process, which the kernel allows only with
 * CAP_SYS_ADMIN, and only to a process without a filter.
 * @module
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { EnvironmentError } from '../errors.ts';
import { effectiveCapabilities } from '../machine/index.ts';

const FILTER_MODE = '2';

function statusField(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';
}

function readStatus(pid: number | 'self'): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}

/** Whether a process is under a seccomp filter. */
export const isFiltered = (pid: number | 'self'): boolean =>
  statusField(readStatus(pid), 'Seccomp') === FILTER_MODE;

/** Without filters, the image has only its magic numbers and an empty message. */
const EMPTY_BYTES = 12;

/** Whether a process of a checkpoint was under a seccomp filter. */
export function imagesHaveFilter(imagesDir: string): boolean {
  const size = statSync(join(imagesDir, 'seccomp.img'), { throwIfNoEntry: false })?.size ?? 0;
  return size > EMPTY_BYTES;
}

/**
 * Checks that a criu started here may suspend the filters of a process.
 * @param what the operation, as "dump 4711"
 * @param status of this process, as in /proc/PID/status
 * @throws {@link EnvironmentError} it may not
 */
export function checkMaySuspendFilters(what: string, status = readStatus('self')): void {
  const problem = `cannot ${what}, which is under a seccomp filter:`;
  if (statusField(status, 'Seccomp') === FILTER_MODE) {
    throw new EnvironmentError(`${problem} this program is under one itself, so criu may not suspend it`, [
      {
        what: 'a shell without a seccomp filter',
        remedy: 'use one that neither criu-cuda run nor a container engine has started',
      },
    ]);
  }
  // another user's criu may have the capability from its file
  const isRoot = /^Uid:\s+\d+\s+0\s/m.test(status);
  if (!isRoot || effectiveCapabilities(status).has('CAP_SYS_ADMIN')) return;
  throw new EnvironmentError(`${problem} criu may suspend it only with CAP_SYS_ADMIN`, [
    {
      what: 'CAP_SYS_ADMIN',
      remedy:
        'add the capability; or start the program with criu-cuda run --allow-io-uring, without a filter',
    },
  ]);
}
