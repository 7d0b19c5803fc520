// SPDX-License-Identifier: MIT
/**
 * What an images directory holds: the tasks, by `pstree.img`, and the plugins
 * they need, by `inventory.img`, which CRIU writes last.
 * @module
 */
import { join } from 'node:path';
import { InventoryEntrySchema, PstreeEntrySchema } from './gen/images_pb.ts';
import { CriuImageError, readImage } from './image.ts';

/** Ids as the dumped tasks saw them: those of their own pid namespace. */
export interface ImageTask {
  pid: number;
  /** 0 for the root. */
  ppid: number;
  processGroup: number;
  session: number;
  threads: number[];
}

/** Root first. `undefined` when the directory has no `pstree.img`. */
export function readPstree(imagesDir: string): ImageTask[] | undefined {
  const path = join(imagesDir, 'pstree.img');
  return readImage(path, 'pstree', PstreeEntrySchema)?.map(({ pid, ppid, pgid, sid, threads }) => {
    if (pid === undefined || ppid === undefined) throw new CriuImageError('pstree.img: a task has no pid');
    return { pid, ppid, processGroup: pgid ?? pid, session: sid ?? pid, threads };
  });
}

export interface Inventory {
  /** Names of the plugins a restore needs. */
  plugins: string[];
}

/** `undefined` when the dump into this directory was never completed. */
export function readInventory(imagesDir: string): Inventory | undefined {
  const [entry] = readImage(join(imagesDir, 'inventory.img'), 'inventory', InventoryEntrySchema) ?? [];
  return entry && { plugins: entry.pluginsEntry?.plugins ?? [] };
}
