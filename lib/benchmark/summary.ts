// SPDX-License-Identifier: MIT
/**
 * Medians and spread of samples, and each case against a baseline.
 * @module
 */
import { max, median, min, quantile } from 'simple-statistics';
import type { Sample } from './dump-restore.ts';

export interface Spread {
  median: number;
  p10: number;
  p90: number;
  min: number;
  max: number;
  n: number;
}

export type Measure = 'dumpMs' | 'restoreMs' | 'verifiedMs';
export const measures: readonly Measure[] = ['dumpMs', 'restoreMs', 'verifiedMs'];

export interface CaseSummary {
  case: string;
  imageBytes: number;
  dumpMs: Spread;
  restoreMs: Spread;
  verifiedMs: Spread;
  /** Median over the baseline's median; 1 for the baseline itself. */
  ratio?: Record<Measure, number>;
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

/** One summary per case, in the order of their first samples. */
export function summarize(samples: readonly Sample[], baseline?: string): CaseSummary[] {
  const names = [...new Set(samples.map((sample) => sample.case))];
  const summaries = names.map((name): CaseSummary => {
    const own = samples.filter((sample) => sample.case === name);
    const spread = (measure: Measure): Spread => spreadOf(own.map((sample) => sample[measure]));
    return {
      case: name,
      imageBytes: median(own.map((sample) => sample.imageBytes)),
      dumpMs: spread('dumpMs'),
      restoreMs: spread('restoreMs'),
      verifiedMs: spread('verifiedMs'),
    };
  });
  const base = summaries.find((summary) => summary.case === baseline);
  if (!base) return summaries;
  return summaries.map((summary) => ({
    ...summary,
    ratio: {
      dumpMs: summary.dumpMs.median / base.dumpMs.median,
      restoreMs: summary.restoreMs.median / base.restoreMs.median,
      verifiedMs: summary.verifiedMs.median / base.verifiedMs.median,
    },
  }));
}
