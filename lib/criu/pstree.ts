// SPDX-License-Identifier: MIT
/**
 * What an images directory holds: the tasks, by `pstree.img`, and the plugins
 * they need, by `inventory.img`, which CRIU writes last.
 * @module
 */
import { join } from 'node:path';
import { ImageError, readImage } from './image.ts';

const task = {
  pid: { number: 1, type: 'uint', optional: true },
  ppid: { number: 2, type: 'uint', optional: true },
  processGroup: { number: 3, type: 'uint', optional: true },
  session: { number: 4, type: 'uint', optional: true },
  threads: { number: 5, type: 'uint', repeated: true },
} as const;

const pluginList = { names: { number: 12, type: 'text', repeated: true } } as const;
const inventory = { plugins: { number: 12, type: pluginList } } as const;

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
  return readImage(path, 'pstree', task)?.map(({ pid, ppid, processGroup, session, threads }) => {
    if (pid === undefined || ppid === undefined) throw new ImageError('pstree.img: a task has no pid');
    return { pid, ppid, processGroup: processGroup ?? pid, session: session ?? pid, threads };
  });
}

export interface Inventory {
  /** Names of the plugins a restore needs. */
  plugins: string[];
}

/** `undefined` when the dump into this directory was never completed. */
export function readInventory(imagesDir: string): Inventory | undefined {
  const [entry] = readImage(join(imagesDir, 'inventory.img'), 'inventory', inventory) ?? [];
  return entry && { plugins: entry.plugins.names };
}
