// SPDX-License-Identifier: MIT
import { poolStart, poolStop } from '../pool/index.ts';
import { needsDaemon } from './cases.ts';
import type { BenchmarkCase } from './dump-restore.ts';

/** Runs with the pool daemon when a case wants it, and ends the daemon afterwards. */
export async function withDaemon<T>(
  cases: readonly BenchmarkCase[],
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
): Promise<T> {
  if (!cases.some(needsDaemon)) return run();
  await poolStart(signal === undefined ? {} : { signal });
  try {
    return await run();
  } finally {
    await poolStop();
  }
}
