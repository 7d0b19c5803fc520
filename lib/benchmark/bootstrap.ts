// SPDX-License-Identifier: MIT
/**
 * How reliable a ratio is, by bootstrap: samples are drawn with replacement from the samples, many times.
 * @module
 */
import { median, quantile, sampleWithReplacement } from 'simple-statistics';

const DRAWS = 2000;

/** Lower and upper end of a 95% interval. */
export type Interval = readonly [number, number];

/** A random generator with a fixed seed, so that the same samples always give the same report. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Bootstrap interval of median(values) / median(baseline).
 * @returns `undefined` with fewer than three samples on either side, which are too few
 */
export function ratioInterval(values: readonly number[], baseline: readonly number[]): Interval | undefined {
  if (values.length < 3 || baseline.length < 3) return undefined;
  const random = seededRandom(values.length * 1009 + baseline.length);
  const draw = (from: readonly number[]): number =>
    median(sampleWithReplacement([...from], from.length, random));
  const ratios = Array.from({ length: DRAWS }, () => draw(values) / draw(baseline));
  return [quantile(ratios, 0.025), quantile(ratios, 0.975)];
}
