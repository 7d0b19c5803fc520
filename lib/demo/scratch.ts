// SPDX-License-Identifier: MIT
/**
 * The demo's own directory: images, run directory, socket, and the devices of
 * the software driver.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { EnvironmentError } from '../errors.ts';
import { availableHostMemory, fileSystemRoom } from '../machine/index.ts';
import { formatBytes } from '../output.ts';

export interface Scratch {
  dir: string;
  imagesDir: string;
  runDir: string;
  devicesDir: string;
  socketPath: string;
  remove(): void;
}

function freeBytes(dir: string): number {
  try {
    return fileSystemRoom(dir).freeBytes;
  } catch {
    return 0;
  }
}

/** Images are fastest in memory, which must also have room for the process. */
function chooseParent(bytes: number): string {
  if (freeBytes('/dev/shm') >= bytes && (availableHostMemory() ?? 0) >= 2 * bytes) return '/dev/shm';
  const parent = tmpdir();
  if (freeBytes(parent) >= bytes) return parent;
  throw new EnvironmentError(`the demo needs ${formatBytes(bytes)} for its images`, [
    { what: `space in ${parent} or /dev/shm`, remedy: 'free some, set TMPDIR, or pass a smaller --size' },
  ]);
}

/** @param bytes that will be written to it */
export function createScratch(bytes: number): Scratch {
  const dir = makeTemporaryDirectory('criu-cuda-demo-', chooseParent(bytes));
  const place = (name: string): string => join(dir, name);
  mkdirSync(place('devices'), { mode: 0o700 });
  return {
    dir,
    imagesDir: place('images'),
    runDir: place('run'),
    devicesDir: place('devices'),
    socketPath: place('workload.sock'),
    remove: () => {
      removeTemporaryDirectory(dir);
    },
  };
}
