// SPDX-License-Identifier: MIT
/**
 * Checks an images directory before criu starts.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readInventory, readPstree, type ImageTask, type Inventory } from '../criu/index.ts';
import { directoryProblem, irregularImage } from '../directory.ts';
import { RestoreError } from './error.ts';
import { describeProcess, waitUntilCollected, type ProcessStat } from '../process/index.ts';

/** CRIU writes it when a task has a terminal open. */
const terminalsImage = 'tty-info.img';

export interface RestorableImages {
  tasks: ImageTask[];
  root: ImageTask;
  inventory: Inventory;
  /** The root belongs to a session, or the tree uses a terminal, that may not be in the images. */
  shellJob: boolean;
  /** The tasks had their own pid namespace, so their pids on this side are not known in advance. */
  ownPidNamespace: boolean;
}

function refuse(code: RestoreError['code'], message: string, hint: string): never {
  throw new RestoreError(code, message, { hint });
}

/** Files named in one message. */
const MOST_NAMED = 5;

/**
 * The images that every task has, as far as they are not there: CRIU takes a missing one for an empty one. A task that
 * had ended has no memory, and neither of its two images.
 */
function missingImages(dir: string, tasks: readonly ImageTask[]): string[] {
  const names = new Set(readdirSync(dir));
  const isThere = (name: string): boolean => names.has(name);
  return tasks.flatMap(({ pid, threads }) => {
    const memory = [`mm-${pid}.img`, `pagemap-${pid}.img`];
    const wanted = [...threads.map((tid) => `core-${tid}.img`), ...(memory.some(isThere) ? memory : [])];
    return wanted.filter((name) => !isThere(name));
  });
}

/**
 * Reads what a restore needs from the images.
 * @throws {@link RestoreError} the directory does not contain a complete checkpoint
 */
export function readRestorableImages(dir: string): RestorableImages {
  const problem = directoryProblem(dir);
  if (problem !== undefined)
    refuse('ERR_RESTORE_IMAGES', problem, 'pass the images directory of a checkpoint');
  const irregular = irregularImage(dir);
  if (irregular !== undefined)
    refuse(
      'ERR_RESTORE_IMAGES',
      irregular,
      'this directory is not as a checkpoint has left it: do not trust it',
    );
  const tasks = readPstree(dir);
  const inventory = readInventory(dir);
  const root = tasks?.[0];
  if (!tasks || !root)
    refuse(
      'ERR_RESTORE_IMAGES',
      `${dir} does not contain a checkpoint: pstree.img is missing`,
      'pass the images directory of a checkpoint',
    );
  if (!inventory) {
    refuse(
      'ERR_RESTORE_IMAGES',
      `${dir} does not contain a complete checkpoint: inventory.img is missing`,
      'the dump into it failed; checkpoint the process again',
    );
  }
  const missing = missingImages(dir, tasks);
  if (missing.length > 0) {
    const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : '';
    refuse(
      'ERR_RESTORE_IMAGES',
      `${dir} lacks ${missing.slice(0, MOST_NAMED).join(', ')}${more}`,
      'files of this checkpoint are missing: copy its whole directory again',
    );
  }
  const shellJob = root.session !== root.pid || existsSync(join(dir, terminalsImage));
  return { tasks, root, inventory, shellJob, ownPidNamespace: root.pid === 1 };
}

/** How long the parent of a process that has just ended may take to collect it. */
const COLLECT_MS = 5000;

function takenHint(stat: ProcessStat): string {
  if (stat.state !== 'Z') {
    return 'a restored process gets its old pid: end the process that has it now, or restore with --isolated';
  }
  return stat.ppid === 1
    ? 'the process has ended, but init does not collect it: restore with --isolated, or run under an init that does'
    : 'the process is a zombie until its parent collects it: end the parent';
}

/**
 * Checks that no pid or thread id of the checkpoint is in use: CRIU restores each with its old id.
 * @throws {@link RestoreError} ERR_RESTORE_PID_TAKEN
 */
export async function checkPidsFree({ tasks, ownPidNamespace }: RestorableImages): Promise<void> {
  if (ownPidNamespace) return;
  for (const id of new Set(tasks.flatMap((task) => [task.pid, ...task.threads]))) {
    if (!existsSync(`/proc/${id}`)) continue; // a server has hundreds of threads
    const stat = await waitUntilCollected(id, COLLECT_MS);
    if (!stat) continue;
    refuse(
      'ERR_RESTORE_PID_TAKEN',
      `pid ${id} is in use by ${await describeProcess(id)}, whose parent is ${stat.ppid} (${await describeProcess(stat.ppid)})`,
      takenHint(stat),
    );
  }
}

/** Pids that the restores of this program take which are in progress. */
const inProgress = new Set<number>();

/**
 * Takes the pids of a checkpoint for one restore. One that fails ends what has them and descends from this program, so no
 * other restore of this program may have the same ones.
 * @returns what ends that
 * @throws {@link RestoreError} ERR_RESTORE_PID_TAKEN
 */
export function takePids({ tasks, ownPidNamespace }: RestorableImages): () => void {
  const pids = ownPidNamespace ? [] : tasks.map(({ pid }) => pid);
  const taken = pids.find((pid) => inProgress.has(pid));
  if (taken !== undefined)
    refuse(
      'ERR_RESTORE_PID_TAKEN',
      `pid ${taken} is in use by another restore of this program`,
      'wait until it has finished',
    );
  for (const pid of pids) inProgress.add(pid);
  return () => {
    for (const pid of pids) inProgress.delete(pid);
  };
}
