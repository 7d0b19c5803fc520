// SPDX-License-Identifier: MIT
/** Work of other programs that nothing may cut off, not even a second Ctrl-C, because it would be half done. @module */

const running = new Set<{ why: string }>();

/**
 * Does something that has to end by itself. It must have a deadline of its own.
 * @param why what a user who presses Ctrl-C again is told: one sentence
 */
export async function toItsEnd<T>(why: string, work: () => Promise<T>): Promise<T> {
  const entry = { why };
  running.add(entry);
  try {
    return await work();
  } finally {
    running.delete(entry);
  }
}

/** Why this process must not exit now; `undefined` when it may. */
export const unfinished = (): string | undefined => [...running].at(0)?.why;
