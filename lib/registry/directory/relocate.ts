// SPDX-License-Identifier: MIT
/**
 * Makes pulled images ones of their new directory: CRIU maps what the driver allocated from the page file, by its path.
 * @module
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { relocateFile } from '../../criu/index.ts';
import { movePageFile, readPageImages } from '../../images/index.ts';

/** @param to where the directory will be */
export async function relocate(dir: string, to: string): Promise<void> {
  for (const { name, file, directory } of await readPageImages(dir)) {
    if (directory === '' || directory === to) continue;
    relocateFile(dir, file, directory, to);
    await writeFile(join(dir, name), await movePageFile(join(dir, name), to), { flush: true });
  }
}
