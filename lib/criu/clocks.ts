// SPDX-License-Identifier: MIT
/** The clocks of a dumped tree. @module */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TimensEntrySchema } from './gen/images_pb.ts';
import { readImage } from './image.ts';

/** CLOCK_MONOTONIC of the tree at the dump, in whole seconds. @returns `undefined` when the images do not have it */
export function readMonotonicSeconds(dir: string): number | undefined {
  const name = readdirSync(dir).find((one) => /^timens-\d+\.img$/.test(one));
  const [clocks] =
    (name === undefined ? undefined : readImage(join(dir, name), 'timens', TimensEntrySchema)) ?? [];
  return clocks?.monotonic?.tvSec === undefined ? undefined : Number(clocks.monotonic.tvSec);
}
