// SPDX-License-Identifier: MIT
/**
 * A report for the terminal, and the tables that all forms of it share.
 * @module
 */
import { predict, ratioInterval, valuesOf, type BenchmarkResult } from '../benchmark/index.ts';
import { formatBytes, table } from '../output.ts';
import { environmentCells, seconds, speedupRange, speedupText, summaryCells } from './figures.ts';
import { isServer } from './story.ts';
import { deviceBytes, type Comparison, type BenchmarkReport } from './model.ts';

export const softwareBanner = 'SOFTWARE DRIVER: these times mean nothing';

export interface Cells {
  head: string[];
  rows: string[][];
}

function countText(result: BenchmarkResult): string {
  const { summaries, reference } = result;
  const typed = summaries.some((one) => one.typedMs) ? 'typed: from before the start of criu-cuda; ' : '';
  const runs = `${typed}library: from its call; ${typed === '' ? '' : 'both '}until ${isServer(result) ? 'the first token' : 'every byte is verified'}; medians of ${summaries[0]?.verifiedMs.n ?? 0} runs`;
  if (summaries.length === 1) return runs;
  return `${runs}; speedup relative to ${reference}${summaries.some((one) => one.ratioInterval) ? ', with a 95 % bootstrap interval' : ''}`;
}

/** Columns that are empty in every row are left out. */
function withoutEmpty({ head, rows }: Cells): Cells {
  const kept = head.flatMap((_, index) => (rows.some((row) => row[index] !== '') ? [index] : []));
  const pick = (row: readonly string[]): string[] => kept.map((index) => row[index] ?? '');
  return { head: pick(head), rows: rows.map(pick) };
}

export function resultCells(result: BenchmarkResult): Cells & { note: string } {
  return { ...withoutEmpty(summaryCells(result)), note: countText(result) };
}

/** One result for a terminal. */
export function resultTable(result: BenchmarkResult): string {
  const { head, rows, note } = resultCells(result);
  const banner = result.environment.software ? `${softwareBanner}\n` : '';
  return `${banner}${table(head, rows)}\n${note}`;
}

function change(comparison: Comparison, name: string): string {
  const values = (result: BenchmarkResult): number[] => valuesOf(result.samples, name, 'verifiedMs');
  const interval = ratioInterval(values(comparison.now.result), values(comparison.before.result));
  if (!interval) return 'too few runs to tell';
  const [low, high] = interval;
  const range = speedupRange(interval);
  if (low > 1) return `slower (${range})`;
  return high < 1 ? `faster (${range})` : `no difference shown (${range})`;
}

/** Each case before and now. */
export function comparisonCells(comparison: Comparison): Cells {
  const { now, before } = comparison;
  const rows = now.result.summaries.flatMap((one) => {
    const other = before.result.summaries.find((summary) => summary.case === one.case);
    if (!other) return [];
    const [a, b] = [other.verifiedMs.median, one.verifiedMs.median];
    return [[one.case, seconds(a), seconds(b), speedupText(a / b), change(comparison, one.case)]];
  });
  return { head: ['case', 'before, s', 'now, s', 'speedup', '95 % interval'], rows };
}

/** The least times that the machine allows, and the measured times. */
export function predictionCells(report: BenchmarkReport): Cells | undefined {
  const { limits } = report;
  if (!limits) return undefined;
  const rows = report.results.flatMap(({ result }) => {
    const bytes = deviceBytes(result);
    if (bytes === undefined) return [];
    const least = predict(limits, bytes);
    return result.summaries.map((one) => [
      formatBytes(bytes),
      one.case,
      seconds(least.pcieMs),
      seconds(least.readMs),
      seconds(least.loadMs),
      seconds(one.verifiedMs.median),
      `${((least.pcieMs / one.verifiedMs.median) * 100).toFixed(0)} %`,
    ]);
  });
  const head = ['device memory', 'case', 'PCIe, s', 'reading, s', 'loading, s', 'measured, s', 'PCIe share'];
  return rows.length === 0 ? undefined : { head, rows };
}

/** The whole report for a terminal. */
export function reportText(report: BenchmarkReport): string {
  const parts: string[] = report.software ? [softwareBanner] : [];
  for (const { name, result } of report.results) {
    const { head, rows, note } = resultCells(result);
    const where = environmentCells(result)
      .slice(0, 3)
      .map(([, value]) => value)
      .join('; ');
    parts.push(`${name}\n${where}\n\n${table(head, rows)}\n${note}`);
  }
  for (const comparison of report.comparisons) {
    const { head, rows } = comparisonCells(comparison);
    const { now, before, differences } = comparison;
    parts.push(
      [
        `${now.name} compared with ${before.path}`,
        table(head, rows),
        ...differences.map((one) => `differs: ${one}`),
      ].join('\n'),
    );
  }
  const prediction = predictionCells(report);
  if (prediction) parts.push(`limits of the machine\n${table(prediction.head, prediction.rows)}`);
  return parts.join('\n\n');
}
