// SPDX-License-Identifier: MIT
/**
 * Medians and spread of samples, and each case compared with a baseline.
 * @module
 */
import { max, median, min, quantile } from 'simple-statistics';
import { ratioInterval, type Interval } from './bootstrap.ts';
import type { Sample } from './dump-restore.ts';

/** The distribution of values. */
export interface Spread {
  /** The median. */
  median: number;
  /** The 10th percentile. */
  p10: number;
  /** The 90th percentile. */
  p90: number;
  /** The smallest value. */
  min: number;
  /** The largest value. */
  max: number;
  /** Number of values. */
  n: number;
}

/** A number in every sample. */
export type Measure = 'dumpMs' | 'restoreMs' | 'verifiedMs';
export const measures: readonly Measure[] = ['dumpMs', 'restoreMs', 'verifiedMs'];

/** Summary of the samples of one case. Milliseconds and bytes. */
export interface CaseSummary {
  /** Name of the case. */
  case: string;
  /** Size of the images. */
  imageBytes: number;
  /** Start of the program without a checkpoint; absent in older results. */
  coldMs?: Spread | undefined;
  /** From before the start of `criu-cuda checkpoint` to its end; absent in older results. */
  dumpTypedMs?: Spread | undefined;
  /** Duration of the dumps. */
  dumpMs: Spread;
  /** Duration of the restores. */
  restoreMs: Spread;
  /** From before the start of `criu-cuda` until every byte was verified; absent in older results. */
  typedMs?: Spread | undefined;
  /** The library's own time until every byte was verified. */
  verifiedMs: Spread;
  /** Median divided by the baseline's median; 1 for the baseline itself. A cold start has no ratio for the dump. */
  ratio?: Partial<Record<Measure, number>> | undefined;
  /** 95% bootstrap intervals of the ratios; absent for the baseline, and with fewer than three samples. */
  ratioInterval?: Partial<Record<Measure, Interval>> | undefined;
}

export function spreadOf(values: number[]): Spread {
  return {
    median: median(values),
    p10: quantile(values, 0.1),
    p90: quantile(values, 0.9),
    min: min(values),
    max: max(values),
    n: values.length,
  };
}

/** The values of one measure for one case. */
export function valuesOf(samples: readonly Sample[], name: string, measure: Measure): number[] {
  return samples.filter((sample) => sample.case === name).map((sample) => sample[measure]);
}

function summaryOf(samples: readonly Sample[], name: string): CaseSummary {
  const own = samples.filter((sample) => sample.case === name);
  const spread = (measure: Measure): Spread => spreadOf(valuesOf(own, name, measure));
  const optional = (measure: 'coldMs' | 'dumpTypedMs' | 'typedMs'): Partial<CaseSummary> => {
    const values = own.flatMap((sample) => sample[measure] ?? []);
    return values.length === 0 ? {} : { [measure]: spreadOf(values) };
  };
  return {
    case: name,
    imageBytes: median(own.map((sample) => sample.imageBytes)),
    ...optional('coldMs'),
    ...optional('dumpTypedMs'),
    dumpMs: spread('dumpMs'),
    restoreMs: spread('restoreMs'),
    ...optional('typedMs'),
    verifiedMs: spread('verifiedMs'),
  };
}

/** Collects a value for each measure that has one. */
function byMeasure<T>(of: (measure: Measure) => T | undefined): Partial<Record<Measure, T>> {
  const found: Partial<Record<Measure, T>> = {};
  for (const measure of measures) {
    const value = of(measure);
    if (value !== undefined) found[measure] = value;
  }
  return found;
}

/** One summary per case, in the order in which the cases first occur. */
export function summarize(samples: readonly Sample[], baseline?: string): CaseSummary[] {
  const names = [...new Set(samples.map((sample) => sample.case))];
  const summaries = names.map((name) => summaryOf(samples, name));
  const base = summaries.find((summary) => summary.case === baseline);
  if (!base) return summaries;
  return summaries.map((summary) => {
    const isComparable = (measure: Measure): boolean => summary[measure].min > 0 && base[measure].min > 0;
    const intervals = byMeasure((measure) =>
      summary.case === base.case || !isComparable(measure)
        ? undefined
        : ratioInterval(valuesOf(samples, summary.case, measure), valuesOf(samples, base.case, measure)),
    );
    return {
      ...summary,
      ratio: byMeasure((measure) =>
        isComparable(measure) ? summary[measure].median / base[measure].median : undefined,
      ),
      ...(Object.keys(intervals).length === 0 ? {} : { ratioInterval: intervals }),
    };
  });
}
