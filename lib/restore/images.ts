// SPDX-License-Identifier: MIT
/**
 * What has to be right about an images directory before criu is started on it.
 * @module
 */
import { readInventory, readPstree, type ImageTask, type Inventory } from '../criu/index.ts';
import { RestoreError } from './error.ts';
import { describeProcess, waitUntilCollected, type ProcessStat } from '../process/index.ts';

export interface RestorableImages {
  tasks: ImageTask[];
  root: ImageTask;
  inventory: Inventory;
  /** The tasks lived in a pid namespace of their own: their pids here are not known before. */
  ownPidNamespace: boolean;
}

function refuse(code: RestoreError['code'], message: string, hint: string): never {
  throw new RestoreError(code, message, { hint });
}

/** Reads what a restore needs to know, or throws what is wrong with the directory. */
export function readRestorableImages(dir: string): RestorableImages {
  const tasks = readPstree(dir);
  const inventory = readInventory(dir);
  const root = tasks?.[0];
  if (!tasks || !root)
    refuse(
      'ERR_RESTORE_IMAGES',
      `${dir} holds no checkpoint: it has no pstree.img`,
      'name the directory of a checkpoint',
    );
  if (!inventory) {
    refuse(
      'ERR_RESTORE_IMAGES',
      `${dir} holds no complete checkpoint: it has no inventory.img`,
      'the dump into it failed: make another',
    );
  }
  return { tasks, root, inventory, ownPidNamespace: root.pid === 1 };
}

/** The parent of one that has just ended gets this long to collect it. */
const COLLECT_MS = 5000;

function takenHint(stat: ProcessStat): string {
  if (stat.state !== 'Z') {
    return 'a restored process gets its old pid: end the one that has it now, or restore in a pid namespace';
  }
  return stat.ppid === 1
    ? 'it has ended, and init does not collect it: restore in a pid namespace, or run under an init that does'
    : 'it has ended and is a zombie until its parent collects it: end the parent';
}

/** CRIU gives every thread the id it had: each has to be free. */
export async function checkPidsFree({ tasks, ownPidNamespace }: RestorableImages): Promise<void> {
  if (ownPidNamespace) return;
  for (const id of tasks.flatMap((task) => [task.pid, ...task.threads])) {
    const stat = await waitUntilCollected(id, COLLECT_MS);
    if (!stat) continue;
    refuse(
      'ERR_RESTORE_PID_TAKEN',
      `pid ${id} is taken by ${await describeProcess(id)}, whose parent is ${stat.ppid} (${await describeProcess(stat.ppid)})`,
      takenHint(stat),
    );
  }
}
