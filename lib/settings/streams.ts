// SPDX-License-Identifier: MIT
/** How many threads copy, where nothing sets their number; as plugins-cuda/common/settings/settings.c has it. @module */
import { readFileSync } from 'node:fs';

/** The processors that this process may use. @returns 1 where it cannot be told */
export function processors(): number {
  const mask = /^Cpus_allowed:\s*([\da-f,]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '1';
  return BigInt(`0x${mask.replaceAll(',', '')}`)
    .toString(2)
    .replaceAll('0', '').length;
}

/**
 * As many as a GPU's bus needs, 12, where that leaves a quarter of the processors to others; but at least 8.
 * @param count the processors
 */
export function streamsOf(count: number): number {
  return Math.min(Math.max(Math.floor((count * 3) / 4), 8), 12);
}
