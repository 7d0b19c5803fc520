// SPDX-License-Identifier: MIT
/**
 * Images name the page file with its absolute path where a process maps it.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { FileEntrySchema } from '../gen/images_pb.ts';
import { changeImage } from '../image.ts';
import { filesImage } from './files-image.ts';

/** Lets CRIU look for a file of another directory in this one. @param to where `dir` will be */
export function relocateFile(dir: string, name: string, from: string, to: string): void {
  if (!existsSync(filesImage(dir))) return;
  changeImage(filesImage(dir), 'files', FileEntrySchema, ({ reg }) => {
    if (reg?.name !== join(from, name)) return false;
    reg.name = join(to, name);
    return true;
  });
}
