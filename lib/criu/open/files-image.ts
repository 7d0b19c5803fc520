// SPDX-License-Identifier: MIT
/** `files.img`: every file that a dumped tree has open or mapped. @module */
import { join } from 'node:path';
import { FileEntrySchema, type FileEntry } from '../gen/images_pb.ts';
import { readImage } from '../image.ts';

/** Path of the image. */
export const filesImage = (dir: string): string => join(dir, 'files.img');

/** @returns `undefined` when there is no such image */
export const readFiles = (dir: string): FileEntry[] | undefined =>
  readImage(filesImage(dir), 'files', FileEntrySchema);
