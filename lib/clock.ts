// SPDX-License-Identifier: MIT
/** Time that processes of one machine share. @module */

/** Milliseconds on the monotonic clock of the machine: a time in one process can be compared with one in another. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

let launchedMs: number | undefined;

/** Notes when this process was started, before it became Node. */
export function startedAt(ms: number): void {
  launchedMs = ms;
}

/** When this program was started, on the same clock. */
export const programStartMs = (): number => launchedMs ?? monotonicMs() - performance.now();
