// SPDX-License-Identifier: MIT
/** What a cycle must not leave behind. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CampaignMachine } from './machine.ts';
import { remaining } from './processes.ts';

/** The plugin's background processes end a moment after criu. */
const ENDING_MS = 10_000;

/** Status files of the latest runs, of which there are at most 64. */
const HISTORY = 'history';

/** Names in a run directory while a daemon serves it. */
const ofDaemon = /^(?:pool\.sock|control\.sock|pool\.log|.*\.lock|pool\.pid)$/;

/** Sockets with a name that is ours; those of other programs are in other namespaces of the network. */
function namedSockets(dir: string): string[] {
  const lines = readFileSync('/proc/net/unix', 'utf8').trim().split('\n').slice(1);
  const names = lines.flatMap((line) => line.split(/\s+/).slice(7, 8));
  return names.filter((name) => name.startsWith(dir) || /^@.*cuda/.test(name));
}

const mountPoints = (): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');

/**
 * @param isCallerKilled its files are left, because nobody else may remove them
 * @returns what is left, in words; empty when there is nothing
 */
export async function findLeftovers(machine: CampaignMachine, isCallerKilled: boolean): Promise<string> {
  const { runDir, poolPid } = machine;
  const hasDaemon = poolPid !== undefined;
  const processes = await remaining(({ pid }) => pid !== poolPid, ENDING_MS);
  const isKept = (name: string): boolean => name === HISTORY || (hasDaemon && ofDaemon.test(name));
  const files = machine.list(runDir).filter((name) => !isKept(name));
  const isStopped = await machine.stopPool();
  const shared = machine.list('/dev/shm').filter((name) => ![basename(machine.dir), 'tmp'].includes(name));
  const scratch = machine.list('/dev/shm/tmp');
  const sockets = namedSockets(machine.dir).filter(
    (name) => name !== machine.socketPath && !name.startsWith(machine.faultDir),
  );
  const mounts = mountPoints().filter((path) => path.startsWith(machine.dir) && path !== machine.imagesDir);
  const found = {
    processes: processes.map(({ pid, comm, state }) => `${comm} (${pid}, ${state})`),
    'files in the run directory': isCallerKilled ? [] : files,
    'shared memory': shared,
    'scratch directories': (isCallerKilled ? [] : scratch).map((name) => join('tmp', name)),
    sockets,
    mounts,
  };
  const words = Object.entries(found).flatMap(([what, names]) =>
    names.length > 0 ? [`${what}: ${names.join(', ')}`] : [],
  );
  return [...words, ...(isStopped ? [] : ['the daemon does not end'])].join('; ');
}
