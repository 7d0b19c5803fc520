// SPDX-License-Identifier: MIT
/**
 * What an images directory contains: the tasks, from `pstree.img`, and the required plugins, from `inventory.img`,
 * which CRIU writes last.
 * @module
 */
import { join } from 'node:path';
import { InventoryEntrySchema, PstreeEntrySchema } from './gen/images_pb.ts';
import { CriuImageError, readImage } from './image.ts';

/** A task and its ids, as it saw them in its own pid namespace. */
export interface ImageTask {
  pid: number;
  /** Pid of the parent; 0 for the root. */
  ppid: number;
  processGroup: number;
  session: number;
  threads: number[];
}

/** The tasks, root first. @returns `undefined` when there is no `pstree.img` */
export function readPstree(imagesDir: string): ImageTask[] | undefined {
  const path = join(imagesDir, 'pstree.img');
  return readImage(path, 'pstree', PstreeEntrySchema)?.map(({ pid, ppid, pgid, sid, threads }) => {
    if (pid === undefined || ppid === undefined) throw new CriuImageError('pstree.img: a task has no pid');
    // for the only thread of a zombie, CRIU writes what its memory happens to have, and does not read it
    const named = threads.length === 1 ? [pid] : threads;
    return { pid, ppid, processGroup: pgid ?? pid, session: sid ?? pid, threads: named };
  });
}

export interface Inventory {
  /** Names of the plugins that a restore needs. */
  plugins: string[];
  /** All TCP connections are closed; CRIU wants to be told at the restore. */
  tcpClose: boolean;
}

/** Reads the inventory. @returns `undefined` when the dump into this directory was never completed */
export function readInventory(imagesDir: string): Inventory | undefined {
  const [entry] = readImage(join(imagesDir, 'inventory.img'), 'inventory', InventoryEntrySchema) ?? [];
  return entry && { plugins: entry.pluginsEntry?.plugins ?? [], tcpClose: entry.tcpClose === true };
}
