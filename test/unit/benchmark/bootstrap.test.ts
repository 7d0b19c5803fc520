// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { ratioInterval, summarize } from '../../../lib/benchmark/index.ts';
import { result } from '../../helpers/results.ts';

describe('ratioInterval', () => {
  it('contains the ratio, and is the same every time', () => {
    const fast = [100, 101, 99, 102, 98];
    const slow = [200, 205, 195, 202, 198];
    const interval = ratioInterval(fast, slow);
    expect(interval?.[0]).toBeGreaterThan(98 / 205 - 1e-9);
    expect(interval?.[1]).toBeLessThan(102 / 195 + 1e-9);
    expect(interval?.[0]).toBeLessThanOrEqual(0.5);
    expect(interval?.[1]).toBeGreaterThanOrEqual(0.5);
    expect(ratioInterval(fast, slow)).toEqual(interval);
  });

  it('is a single point if nothing varies, and undefined for too few samples', () => {
    expect(ratioInterval([3, 3, 3], [6, 6, 6])).toEqual([0.5, 0.5]);
    expect(ratioInterval([3, 3], [6, 6, 6])).toBeUndefined();
  });

  it('is wider for samples that vary more', () => {
    const width = (values: number[]): number => {
      const [low, high] = ratioInterval(values, [100, 100, 100, 100, 100]) ?? [0, 0];
      return high - low;
    };
    expect(width([80, 90, 100, 110, 120])).toBeGreaterThan(2 * width([98, 99, 100, 101, 102]));
  });
});

describe('summarize', () => {
  it('gives every case its ratio to the baseline, and all but the baseline an interval', () => {
    const [base, half] = summarize(result({ base: [10, 20, 30], half: [5, 10, 15] }).samples, 'base');
    expect(base?.verifiedMs).toMatchObject({ median: 20, min: 10, max: 30, n: 3 });
    expect(base?.ratio?.verifiedMs).toBe(1);
    expect(base?.ratioInterval).toBeUndefined();
    expect(half?.ratio).toEqual({ dumpMs: 0.5, restoreMs: 0.5, verifiedMs: 0.5 });
    expect(half?.ratioInterval?.verifiedMs?.[0]).toBeLessThan(0.5);
    expect(half?.ratioInterval?.verifiedMs?.[1]).toBeGreaterThan(0.5);
    expect(half?.coldMs?.median).toBe(1000);
  });

  it('compares with a cold start only what a cold start has', () => {
    const { samples } = result({ cold: [10, 20, 30], half: [5, 10, 15] });
    for (const one of samples) if (one.case === 'cold') one.dumpMs = 0;
    const [cold, half] = summarize(samples, 'cold');
    expect(cold?.ratio).toEqual({ restoreMs: 1, verifiedMs: 1 });
    expect(half?.ratio).toEqual({ restoreMs: 0.5, verifiedMs: 0.5 });
    expect(Object.keys(half?.ratioInterval ?? {})).toEqual(['restoreMs', 'verifiedMs']);
  });
});
