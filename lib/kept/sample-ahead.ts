// SPDX-License-Identifier: MIT
/**
 * Takes the checksums of a tree's files while criu dumps it. A server has a thousand of them, which take a tenth of a second or
 * more afterwards, and with `--leave-running` the tree would be stopped for that time.
 * @module
 */
import { usedFiles } from './in-memory.ts';
import type { Samples } from './version.ts';

/** For how long this program does nothing else. Milliseconds. */
const SLICE_MS = 4;

/**
 * Begins to take the checksums of files that the processes have open or mapped, a few at a time.
 * @returns what ends it
 */
export function sampleAhead(samples: Samples, pids: readonly number[]): () => void {
  let rest: Iterator<string> | undefined;
  let isStopped = false;
  const takeSome = (): void => {
    const end = performance.now() + SLICE_MS;
    rest ??= usedFiles(pids).values();
    while (!isStopped && performance.now() < end) {
      const next = rest.next();
      if (next.done === true) return;
      samples.take(next.value);
    }
    if (!isStopped) setImmediate(takeSome);
  };
  setImmediate(takeSome);
  return () => {
    isStopped = true;
  };
}
