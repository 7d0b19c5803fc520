// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

let found: string | undefined;
/** The CRIU that the project's set-up found or built. */
export function criuProgram(): string {
  found ??= process.env.CRIU_CUDA_CRIU ?? execFileSync('which', ['criu'], { encoding: 'utf8' }).trim();
  return found;
}

/** CRIU's own CUDA plugin, which the set-up builds beside CRIU for comparison. */
export function upstreamPlugin(): string | undefined {
  const dir = dirname(criuProgram());
  return [join(dir, 'cuda_plugin.so'), join(dir, '../plugins/cuda/cuda_plugin.so')].find((path) => existsSync(path));
}
