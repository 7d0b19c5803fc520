// SPDX-License-Identifier: MIT
/** `files.img`: every file that a dumped tree has open or mapped. @module */
import { join } from 'node:path';
import { FileEntrySchema, type FileEntry } from '../gen/images_pb.ts';
import { bytesOfImage, changeImage, decodeFile } from '../image.ts';

/** Path of the image. */
export const filesImage = (dir: string): string => join(dir, 'files.img');

/** The last image that was read: a dump or restore asks for the same one several times. */
let last: { bytes: Buffer; files: readonly FileEntry[] } | undefined;

/** @returns `undefined` when there is no such image */
export function readFiles(dir: string): readonly FileEntry[] | undefined {
  const path = filesImage(dir);
  const bytes = bytesOfImage(path);
  if (!bytes) return undefined;
  if (last?.bytes.equals(bytes) !== true)
    last = { bytes, files: decodeFile(path, bytes, 'files', FileEntrySchema) };
  return last.files;
}

/**
 * Changes some files in the image, see `changeImage`. A server has more than a thousand, and few of them are changed: only
 * these are decoded for it, and no later reader decodes the image once more.
 * @param mayChange tells which files are given to `change`
 */
export function changeFiles(
  dir: string,
  mayChange: (file: FileEntry) => boolean,
  change: (file: FileEntry) => boolean,
): void {
  const files = [...(readFiles(dir) ?? [])];
  const isCandidate = files.map(mayChange);
  const noting = (file: FileEntry, index: number): boolean => {
    const isChanged = change(file);
    if (isChanged) files[index] = file;
    return isChanged;
  };
  const bytes = changeImage(
    filesImage(dir),
    'files',
    FileEntrySchema,
    noting,
    (index) => isCandidate[index] === true,
  );
  last = { bytes, files };
}
