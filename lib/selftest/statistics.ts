// SPDX-License-Identifier: MIT
/** @module */
import { median, quantile } from 'simple-statistics';
import type { Figures } from './check.ts';

export { median };

/** Median, 99th percentile and maximum of times in milliseconds. */
export function spread(name: string, samples: number[]): Figures {
  return {
    [`${name}MedianMs`]: median(samples),
    [`${name}P99Ms`]: quantile(samples, 0.99),
    [`${name}MaxMs`]: Math.max(...samples),
  };
}
