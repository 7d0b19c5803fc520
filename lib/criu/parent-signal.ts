// SPDX-License-Identifier: MIT
/** The signal that a process has asked for when its parent ends, see PR_SET_PDEATHSIG of prctl(2). @module */
import { constants } from 'node:os';
import { join } from 'node:path';
import { CoreEntrySchema } from './gen/images_pb.ts';
import { changeImage } from './image.ts';
import { readPstree } from './pstree.ts';

const nameOf = (signal: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;

/**
 * Takes the signal from the root of a tree, in its images: its parent is criu when it is restored, and ends at once. All
 * other processes are restored with their parents.
 * @returns name of the signal; `undefined` if the root had asked for none
 */
export function dropParentSignal(imagesDir: string): string | undefined {
  let dropped: number | undefined;
  for (const thread of readPstree(imagesDir)?.[0]?.threads ?? []) {
    changeImage(join(imagesDir, `core-${thread}.img`), 'core', CoreEntrySchema, ({ threadCore }) => {
      if (!threadCore?.pdeathSig) return false;
      dropped = threadCore.pdeathSig;
      threadCore.pdeathSig = undefined;
      return true;
    });
  }
  return dropped === undefined ? undefined : nameOf(dropped);
}
