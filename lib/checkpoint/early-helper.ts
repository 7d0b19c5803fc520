// SPDX-License-Identifier: MIT
/** Starts the pool's helper while the command still makes its checks: its driver starts meanwhile. @module */
import type { Operation } from '../criu/index.ts';
import type { Environment } from '../paths.ts';
import { MOST_OF_WORDS, readBeginning } from '../process/index.ts';
import { helperProgram, startEarlyHelper, type EarlyHelper } from '../pool/index.ts';

/** Whether the process was started with the interceptor: then the pool saves its device memory. */
const hasInterceptor = (pid: number): boolean =>
  /(?:^|\0)LD_PRELOAD=[^\0]*libcuda_intercept/.test(readBeginning(`/proc/${pid}/environ`, MOST_OF_WORDS));

/**
 * @param pids of the tree
 * @returns `undefined` where no helper is of use
 */
export function beginHelper(
  pids: readonly number[],
  { plugin }: Operation,
  added: Environment | undefined,
): Promise<EarlyHelper | undefined> {
  const env: Environment = { ...process.env, ...added };
  const program = helperProgram(plugin, env);
  const isOfUse = program !== undefined && pids.some(hasInterceptor);
  return startEarlyHelper(isOfUse ? program : undefined, env);
}
