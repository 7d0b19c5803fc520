// SPDX-License-Identifier: MIT
/**
 * How far an axis reaches, and where its ticks are.
 * @module
 */

/** A bar this many times longer than the shortest one is broken off, so that the others keep the width. */
const BREAK = 6;

/** An axis that begins at 0. Milliseconds. */
export interface Scale {
  max: number;
  step: number;
}

/** The smallest of 1, 2, 5, 10, 20, 50, … that is at least `value`. */
function roundStep(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const digit = [1, 2, 5].find((one) => one * power >= value * 0.999) ?? 10;
  return digit * power;
}

/** An axis with at most five steps on which every value has its place. */
export function scaleTo(longest: number): Scale {
  const step = roundStep(Math.max(longest, 1e-3) / 5);
  return { step, max: step * Math.max(1, Math.ceil((longest * 1.001) / step)) };
}

/** An axis for what is compared: the values that are much longer than the shortest are longer than the axis. */
export function brokenScale(values: readonly number[], times = BREAK): Scale {
  const shortest = Math.min(...values.filter((one) => one > 0));
  const whole = values.filter((one) => one <= shortest * times);
  return scaleTo(Math.max(...(whole.length === 0 ? values : whole)));
}

/** The ticks of an axis in milliseconds, from 0. */
export function ticksOf({ max, step }: Scale): number[] {
  return Array.from({ length: Math.round(max / step) + 1 }, (_, index) => index * step);
}
