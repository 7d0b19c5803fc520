// SPDX-License-Identifier: MIT
/** The CRIU that setup found or built, and CRIU's own plugin next to it. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'vitest';
import { criuCacheLayout } from '../../lib/setup/index.ts';
import { effectiveCapabilities, findCriu } from '../../lib/machine/index.ts';

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

/** Skips a test that dumps a process of another user where criu may not ask for its limits. */
export function needDumpsOfOthers(context: TestContext): void {
  if (!effectiveCapabilities(readFileSync('/proc/self/status', 'utf8')).has('CAP_SYS_RESOURCE'))
    context.skip("criu dumps another user's process only with CAP_SYS_RESOURCE");
}
