// SPDX-License-Identifier: MIT
/**
 * How long a restore takes with each variant, from measured rates.
 * @module
 */
import type { PluginVariant } from '../variant.ts';
import { fixedMs, hostRate, type Rates } from './rates.ts';

/** A way to restore: a variant, or `full` with an image that the pool daemon has loaded. */
export type Way = PluginVariant | 'full, prefetched';

/** What is restored. Bytes. */
export interface Amounts {
  /** Device memory. */
  deviceBytes: number;
  /** Host memory that no file backs. */
  hostBytes: number;
}

const ms = (bytes: number, gbPerSecond: number): number => bytes / gbPerSecond / 1e6;

/** Time that the device memory takes, by the path on which the variant moves it. */
function deviceMs(way: Way, bytes: number, rates: Rates): number {
  switch (way) {
    case 'stock':
      return ms(bytes, rates.pageFaults) + ms(bytes, rates.pageable);
    case 'remap':
      return ms(bytes, rates.pageable);
    case 'parallel':
    case 'full':
      return ms(bytes, Math.min(rates.load, rates.read));
    case 'full, prefetched':
      return 0;
  }
}

/** Milliseconds from the restore command until every byte is back. */
export function estimateRestore(way: Way, { deviceBytes, hostBytes }: Amounts, rates: Rates): number {
  const host = way === 'stock' ? ms(hostBytes, rates.pageFaults) : ms(hostBytes, hostRate);
  return fixedMs[way] + deviceMs(way, deviceBytes, rates) + host;
}
