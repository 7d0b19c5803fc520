// SPDX-License-Identifier: MIT
/**
 * Access to the small files of a checkpoint. With promises, but without threads: to hand each call to one and back takes
 * longer than the call, and `node:fs/promises` longer to load than a restore's images to read.
 * @module
 */
import { lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs';

const settled = <Value>(read: () => Value): Promise<Value> =>
  new Promise((resolve) => {
    resolve(read());
  });

/** The contents of a file. */
export const contentsOf = (path: string): Promise<Buffer> => settled(() => readFileSync(path));

/** What is at a path; links are not followed. */
export const statusOf = (path: string): Promise<Stats> => settled(() => lstatSync(path));

/** The names in a directory. */
export const namesIn = (directory: string): Promise<string[]> => settled(() => readdirSync(directory));
