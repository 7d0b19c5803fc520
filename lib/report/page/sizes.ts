// SPDX-License-Identifier: MIT
/**
 * Restore time against device memory, when results of more than one size are in a report.
 * @module
 */
import { formatBytes } from '../../output.ts';
import { seconds } from '../figures.ts';
import { deviceBytes, type BenchmarkReport } from '../model.ts';
import { caseLabels, storyOf } from '../story.ts';
import { barChart, type Bar } from './bars.ts';
import { columnsOf } from './columns.ts';
import { dataTable } from './elements.ts';

interface Point {
  name: string;
  bytes: number;
  ms: number;
}

/** A bar for each size and case that is shown first, smallest size first. */
export function sizeSection(report: BenchmarkReport): string {
  const points = report.results
    .flatMap(({ result }): Point[] => {
      const bytes = deviceBytes(result);
      const label = caseLabels(result);
      return bytes === undefined
        ? []
        : storyOf(result).few.map((one) => ({ name: label(one.case), bytes, ms: one.verifiedMs.median }));
    })
    .sort((a, b) => a.bytes - b.bytes || a.ms - b.ms);
  if (points.length === 0) return '';
  const bars = points.map(({ name, bytes, ms }): Bar => ({
    name: `${formatBytes(bytes)}: ${name}`,
    segments: [{ name: 'restore', ms, color: 'criu-0' }],
  }));
  const rows = points.map(({ name, bytes, ms }) => [
    name,
    formatBytes(bytes),
    seconds(ms),
    (bytes / ms / 1e6).toFixed(1),
  ]);
  const table = dataTable({
    id: 'sizes',
    caption: 'Restore against device memory',
    columns: columnsOf(['case', 'device memory', 'restore to verified, s', 'GB/s'], rows),
    rows: rows.map((cells) => ({ cells })),
  });
  return `<section data-view="all"><h2>Restore against device memory</h2>${barChart('Restore to verified', bars)}${table}</section>`;
}
