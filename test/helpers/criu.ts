// SPDX-License-Identifier: MIT
/** The CRIU that setup found or built, and CRIU's own plugin next to it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { criuCacheLayout } from '../../lib/setup/index.ts';
import { findCriu } from '../../lib/machine/index.ts';

const { criu } = await findCriu();

export function criuProgram(): string {
  if (criu) return criu.path;
  throw new Error('cannot find a usable criu: run `npm run setup`');
}

/** CRIU's own CUDA plugin, which setup builds next to CRIU for comparison. */
export function upstreamPlugin(): string | undefined {
  const path = join(dirname(criuProgram()), criuCacheLayout.upstreamPlugin);
  return existsSync(path) ? path : undefined;
}
