// SPDX-License-Identifier: MIT
/**
 * Restores a program that had a terminal where there is none: from a directory next to its images, which has the same
 * files and a few changed ones. The images stay as they are, for a restore with a terminal.
 * @module
 */
import { linkSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { imagesWithoutTerminal } from '../criu/index.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';

/** What to tell a user whose program has lost its terminal. */
export const noTerminal =
  'the program had a terminal, and this command has none: stdout and stderr are joined to its own or to the file given with --log, the rest to /dev/null';

/** Also the beginning of the directory's name. */
const prefix = 'criu-cuda-no-terminal-';

/** Images to restore from. */
export interface UsedImages {
  /** Absolute path. */
  dir: string;
  /** Removes what was made for it. */
  close(): void;
}

/** Fills a directory with links to the images: the plugin follows no symbolic ones. */
function linkImages(from: string, to: string, changed: ReadonlyMap<string, Buffer>): void {
  for (const name of readdirSync(from)) {
    if (changed.has(name) || !statSync(join(from, name)).isFile()) continue;
    linkSync(join(from, name), join(to, name));
  }
  for (const [name, bytes] of changed) writeFileSync(join(to, name), bytes, { mode: 0o600 });
}

/** Whether the images are restored from a directory of links, in which files that come later are missing. */
export const needsLinks = (imagesDir: string): boolean =>
  !process.stdin.isTTY && imagesWithoutTerminal(imagesDir).size > 0;

/**
 * @param hasTerminal whether criu gets a terminal
 * @returns the images themselves if the tree needs no terminal, or where no directory can be made in theirs: then CRIU
 * refuses a tree that needs one
 */
export function chooseImages(imagesDir: string, hasTerminal: boolean): UsedImages {
  const same = { dir: imagesDir, close: () => undefined };
  const changed = hasTerminal ? new Map<string, Buffer>() : imagesWithoutTerminal(imagesDir);
  if (changed.size === 0) return same;
  let dir: string | undefined;
  const close = (): void => {
    if (dir !== undefined) removeTemporaryDirectory(dir);
  };
  try {
    dir = makeTemporaryDirectory(prefix, imagesDir);
    linkImages(imagesDir, dir, changed);
    return { dir, close };
  } catch {
    close(); // a read-only directory, or a file system without links
    return same;
  }
}
