// SPDX-License-Identifier: MIT
/** Random numbers that follow from a seed and the number of a cycle, so that a cycle can be repeated alone. */
import { createHash } from 'node:crypto';

export class Random {
  readonly #seed: string;
  #block = Buffer.alloc(0);
  #used = 0;
  #blocks = 0;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** A whole number of 32 bits. */
  #word(): number {
    if (this.#used + 4 > this.#block.length) {
      this.#block = createHash('sha256').update(`${this.#seed}/${this.#blocks++}`).digest();
      this.#used = 0;
    }
    this.#used += 4;
    return this.#block.readUInt32LE(this.#used - 4);
  }

  /** From 0 to 1, without 1. */
  fraction(): number {
    return this.#word() / 2 ** 32;
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.fraction() * count);
  }

  /** A whole number from `low` to `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** A whole number from 1 to `high`; small ones are as likely as large ones. */
  magnitude(high: number): number {
    return Math.min(high, Math.floor(Math.exp(this.fraction() * Math.log(high + 1))));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error('cannot pick from an empty list');
    return found;
  }

  /** A copy in random order. */
  shuffled<T>(list: readonly T[]): T[] {
    const keyed = list.map((value) => ({ key: this.fraction(), value }));
    return keyed.sort((one, other) => one.key - other.key).map(({ value }) => value);
  }

  /** Picks by weight. */
  weighted<T>(list: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.fraction() * list.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of list) {
      if (left < weight) return value;
      left -= weight;
    }
    return this.pick(list)[1];
  }
}
