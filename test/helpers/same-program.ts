// SPDX-License-Identifier: MIT
/** What a program is like, from inside and in `/proc`, for tests after which it must be as before. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { expect } from 'vitest';
import type { Workload } from '../../lib/workload/index.ts';
import { readMappings, type Mapping } from './host-memory.ts';
import type { Machine } from './machine.ts';
import { waitFor } from './wait.ts';

/** The kernel does not always merge adjacent mappings of one kind. */
function mappings(pid: number): Omit<Mapping, 'flags'>[] {
  const merged: Omit<Mapping, 'flags'>[] = [];
  for (const { flags, ...rest } of readMappings(pid)) {
    const one = { ...rest, permissions: `${rest.permissions} ${flags.join(' ')}` };
    const last = merged.at(-1);
    if (last?.end === one.start && last.permissions === one.permissions && last.path === one.path) {
      last.end = one.end;
    } else {
      merged.push(one);
    }
  }
  return merged;
}

/** What the descriptors of a process refer to. */
export function targets(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return []; // a connection that was just closed
    }
  });
}

const isSocket = (target: string): boolean => target.startsWith('socket:');

/** Open files; without sockets, because this test's own connections come and go. */
const descriptors = (pid: number): string[] =>
  targets(pid)
    .filter((target) => !isSocket(target))
    .sort();
export const sockets = (pid: number): string[] => targets(pid).filter(isSocket);

/**
 * A file of each thread, such as comm or stat, without threads that end while they are read.
 * @throws when there is no such process
 */
export function readThreads(pid: number, file: string): { tid: string; text: string }[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((tid) => {
    try {
      return [{ tid, text: readFileSync(`/proc/${pid}/task/${tid}/${file}`, 'utf8').trim() }];
    } catch {
      return [];
    }
  });
}

/** Names of the threads of a process. */
export const threadNames = (pid: number): string[] => readThreads(pid, 'comm').map(({ text }) => text);

/** The threads, and the signals that each has blocked. */
const threads = (pid: number): string[] =>
  readThreads(pid, 'status').map(({ tid, text }) => `${tid} ${/^SigBlk:\s*(\w+)$/m.exec(text)?.[1] ?? ''}`);

/** What the program and the kernel say about the process. */
export interface Fingerprint {
  memory: string;
  addresses: string;
  mappings: unknown[];
  descriptors: string[];
  threads: string[];
}

/** Asks both. */
export async function fingerprint(workload: Workload): Promise<Fingerprint> {
  const { pid } = workload;
  return {
    memory: await workload.verify(),
    addresses: await workload.addresses(),
    mappings: mappings(pid),
    descriptors: descriptors(pid),
    threads: threads(pid),
  };
}

/**
 * The program runs, and is what it was.
 * @param grows the interceptor's threads have allocated memory of their own
 */
export async function expectSame(
  machine: Machine,
  workload: Workload,
  before: Fingerprint,
  grows = false,
): Promise<void> {
  await waitFor(async () => {
    expect(await machine.state(workload.pid)).toBe('running');
  });
  const { mappings: now, ...rest } = await fingerprint(workload);
  const { mappings: then, ...expected } = before;
  if (grows) expect(now).toEqual(expect.arrayContaining(then));
  else expect({ ...rest, mappings: now }).toEqual({ ...expected, mappings: then });
  expect(rest).toEqual(expected);
}

/** The last outcome that was written is that the program was returned. */
export async function expectRolledBack(machine: Machine): Promise<void> {
  await waitFor(() => {
    const last = machine.readStatus().findLast(({ event }) => event === 'task');
    expect(last?.outcome).toBe('rolled-back');
  });
}
