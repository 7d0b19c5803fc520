// SPDX-License-Identifier: MIT
/**
 * Numbers in the JSON of this project's programs. What every checkpoint and restore reads is checked with valibot, which
 * is loaded in no time; zod checks what people write.
 * @module
 */
import * as v from 'valibot';

/** Bytes or milliseconds. */
export const amount = v.pipe(v.number(), v.finite(), v.minValue(0));

/** A whole number below 2^53, of at least `least`. */
export const whole = (least = Number.MIN_SAFE_INTEGER) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(least));
