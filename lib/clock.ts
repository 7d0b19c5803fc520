// SPDX-License-Identifier: MIT
/** Time that processes of one machine share. @module */

/** Milliseconds on the monotonic clock of the machine: a time in one process can be compared with one in another. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** When this program was started, on the same clock. */
export const programStartMs = (): number => monotonicMs() - performance.now();
