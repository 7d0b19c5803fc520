// SPDX-License-Identifier: MIT
/**
 * What an images directory holds: the tasks, by `pstree.img`, and the plugins
 * they need, by `inventory.img`, which CRIU writes last.
 * @module
 */
import { join } from 'node:path';
import { ImageError, numberField, messageField, numberFields, readImage, textFields } from './image.ts';

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
  return readImage(join(imagesDir, 'pstree.img'), 'pstree')?.map((fields) => {
    const pid = numberField(fields, 1);
    const ppid = numberField(fields, 2);
    if (pid === undefined || ppid === undefined) throw new ImageError('pstree.img: a task has no pid');
    return {
      pid,
      ppid,
      processGroup: numberField(fields, 3) ?? pid,
      session: numberField(fields, 4) ?? pid,
      threads: numberFields(fields, 5),
    };
  });
}

export interface Inventory {
  /** Names of the plugins a restore needs. */
  plugins: string[];
}

/** `undefined` when the dump into this directory was never completed. */
export function readInventory(imagesDir: string): Inventory | undefined {
  const [entry] = readImage(join(imagesDir, 'inventory.img'), 'inventory') ?? [];
  if (!entry) return undefined;
  const plugins = messageField(entry, 12);
  return { plugins: plugins ? textFields(plugins, 12) : [] };
}
