// SPDX-License-Identifier: MIT
/**
 * Asynchronous access to files without `node:fs/promises`, which takes longer to load than a restore's images to read.
 * @module
 */
import { lstat, readdir, readFile, type Stats } from 'node:fs';

function settled<Value>(start: (done: (error: Error | null, value: Value) => void) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error) reject(error);
      else resolve(value);
    });
  });
}

/** The contents of a file. */
export const contentsOf = (path: string): Promise<Buffer> =>
  settled<Buffer>((done) => {
    readFile(path, done);
  });

/** What is at a path; links are not followed. */
export const statusOf = (path: string): Promise<Stats> =>
  settled<Stats>((done) => {
    lstat(path, done);
  });

/** The names in a directory. */
export const namesIn = (directory: string): Promise<string[]> =>
  settled<string[]>((done) => {
    readdir(directory, done);
  });
