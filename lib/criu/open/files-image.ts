// SPDX-License-Identifier: MIT
/** `files.img`: every file that a dumped tree has open or mapped. @module */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { FileEntrySchema, type FileEntry } from '../gen/images_pb.ts';
import { readImage } from '../image.ts';

/** Path of the image. */
export const filesImage = (dir: string): string => join(dir, 'files.img');

let last: { version: string; files: readonly FileEntry[] } | undefined;

/** Tells one state of a file from another: a changed image is another file, or has another time. */
function versionOf(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat && [path, stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ');
}

/**
 * Every check of a restore asks for them, and a tree of an inference server has thousands; so the last ones that were
 * read are kept.
 * @returns `undefined` when there is no such image
 */
export function readFiles(dir: string): readonly FileEntry[] | undefined {
  const path = filesImage(dir);
  const version = versionOf(path);
  if (version === undefined || last?.version !== version) {
    const files = readImage(path, 'files', FileEntrySchema);
    last = version !== undefined && files !== undefined ? { version, files } : undefined;
    return files;
  }
  return last.files;
}
