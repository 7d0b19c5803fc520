// SPDX-License-Identifier: MIT
/** Statistics of samples whose results are easy to calculate by hand. */
import { describe, expect, it } from 'vitest';
import { spreadOf, summarize } from '../../../lib/benchmark/summary.ts';
import { sample } from '../../helpers/results.ts';

/** 0, 1 … n, in neither ascending nor descending order. */
const upTo = (n: number): number[] => Array.from({ length: n + 1 }, (_, index) => (index * 37) % (n + 1));

describe('spreadOf', () => {
  it('has a tenth of the samples below p10 and a tenth above p90', () => {
    expect(spreadOf(upTo(100))).toEqual({ median: 50, p10: 10, p90: 90, min: 0, max: 100, n: 101 });
  });

  it('differs from minimum and maximum for uneven samples', () => {
    const values = [...Array.from({ length: 18 }, () => 10), 1, 1000];
    expect(spreadOf(values)).toEqual({ median: 10, p10: 10, p90: 10, min: 1, max: 1000, n: 20 });
  });

  it('is the sample itself if there is only one', () => {
    expect(spreadOf([7])).toEqual({ median: 7, p10: 7, p90: 7, min: 7, max: 7, n: 1 });
  });
});

describe('summarize', () => {
  const rounds = (name: string, values: number[]) => values.map((ms, round) => sample(name, round, ms));
  const samples = [...rounds('base', [100, 200, 300]), ...rounds('other', [10, 20, 30])];

  it('has one summary per case, in the order of their first samples, each of its own samples', () => {
    const [base, other, ...more] = summarize(samples);
    expect(more).toEqual([]);
    expect([base?.case, base?.verifiedMs.median, base?.dumpMs.median]).toEqual(['base', 200, 400]);
    expect([other?.case, other?.verifiedMs.median, other?.verifiedMs.n]).toEqual(['other', 20, 3]);
    expect(base?.imageBytes).toBe(2 ** 20);
    expect(base?.coldMs).toMatchObject({ median: 1000, n: 3 });
  });

  it('has no cold start if none was measured', () => {
    const running = samples.map((one) => {
      const { coldMs, ...rest } = one;
      expect(coldMs).toBe(1000);
      return rest;
    });
    for (const one of summarize(running)) expect(one).not.toHaveProperty('coldMs');
  });

  it('has ratios only if the baseline exists', () => {
    for (const one of [...summarize(samples), ...summarize(samples, 'missing')]) {
      expect(one).not.toHaveProperty('ratio');
      expect(one).not.toHaveProperty('ratioInterval');
    }
  });

  it('divides every median by that of the baseline, including its own', () => {
    const [base, other] = summarize(samples, 'base');
    expect(base?.ratio).toEqual({ dumpMs: 1, restoreMs: 1, verifiedMs: 1 });
    expect(base).not.toHaveProperty('ratioInterval');
    expect(other?.ratio?.verifiedMs).toBeCloseTo(0.1);
    const [low = Number.NaN, high = Number.NaN] = other?.ratioInterval?.verifiedMs ?? [];
    expect(low).toBeGreaterThan(0);
    expect(low).toBeLessThan(0.1);
    expect(high).toBeGreaterThan(0.1);
    // with three samples each, no draw is outside least/greatest and greatest/least
    expect([low, high].every((end) => end >= 10 / 300 - 1e-9 && end <= 30 / 100 + 1e-9)).toBe(true);
  });

  it.each([
    ['the case', 'other'],
    ['the baseline', 'base'],
  ])('leaves out a measure that %s does not have', (_whose, name) => {
    const withoutDump = samples.map((one) => (one.case === name ? { ...one, dumpMs: 0 } : one));
    const other = summarize(withoutDump, 'base')[1];
    expect(Object.keys(other?.ratio ?? {})).toEqual(['restoreMs', 'verifiedMs']);
    expect(Object.keys(other?.ratioInterval ?? {})).toEqual(['restoreMs', 'verifiedMs']);
  });

  it('has no interval for fewer than three samples', () => {
    const few = [...rounds('base', [100, 200, 300]), ...rounds('other', [10, 20])];
    expect(summarize(few, 'base')[1]).not.toHaveProperty('ratioInterval');
  });
});
