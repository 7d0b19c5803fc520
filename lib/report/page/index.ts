// SPDX-License-Identifier: MIT
/**
 * A report as one self-contained HTML page. It is complete without its script, and its content security policy forbids
 * loading anything.
 * @module
 */
import { deviceBytes, type BenchmarkReport, type Comparison } from '../model.ts';
import { caseLabels, leadOf } from '../story.ts';
import { comparisonCells, predictionCells, softwareBanner } from '../text.ts';
import { dateText } from '../story.ts';
import { barChart, type Bar } from './bars.ts';
import { columnsOf } from './columns.ts';
import { dataTable, escapeHtml } from './elements.ts';
import { script } from './script.ts';
import { resultPart } from './sections.ts';
import { sizeSection } from './sizes.ts';
import { style } from './style.ts';

function comparisonPart(comparison: Comparison, index: number): string {
  const { now, before, differences } = comparison;
  const label = caseLabels(now.result);
  const bars = now.result.summaries.flatMap((one): Bar[] => {
    const other = before.result.summaries.find((summary) => summary.case === one.case);
    if (!other) return [];
    const name = label(one.case);
    const part = (when: string, ms: number, color: string): Bar['segments'] => [{ name: when, ms, color }];
    const dates = [before, now].map(({ result }) => dateText(result.environment.date));
    return [
      { name, segments: part(`before, ${dates[0] ?? ''}`, other.verifiedMs.median, 'criu-2') },
      {
        name: `${name}, now`,
        segments: part(`now, ${dates[1] ?? ''}`, one.verifiedMs.median, 'criu-3'),
        second: true,
      },
    ];
  });
  const { head, rows } = comparisonCells(comparison);
  const named = rows.map(([name = '', ...cells]) => [label(name), ...cells]);
  const title = `${now.name} compared with ${before.name}`;
  return [
    `<section data-view="all"><h2>${escapeHtml(title)}</h2>`,
    barChart('Restore to verified, before and now', bars),
    dataTable({
      id: `comparison-${index}`,
      caption: `${title}, seconds`,
      columns: columnsOf(head, named),
      rows: named.map((cells) => ({ cells })),
    }),
    ...differences.map((one) => `<p class="note">differs: ${escapeHtml(one)}</p>`),
    '</section>',
  ].join('\n');
}

function limitsPart(report: BenchmarkReport): string {
  const cells = predictionCells(report);
  if (!cells) return '';
  const { head, rows } = cells;
  const table = dataTable({
    id: 'limits',
    caption: 'The least times that the rates of this machine allow, and the measured ones',
    columns: columnsOf(head, rows),
    rows: rows.map((row) => ({ cells: row })),
  });
  return `<section><h2>Limits of the machine</h2>${table}</section>`;
}

/** The page. */
export function reportHtml(report: BenchmarkReport): string {
  const [only] = report.results;
  const single = report.results.length === 1 && only !== undefined ? only : undefined;
  const title = single === undefined ? report.title : leadOf(single.result).sentence;
  const sizes = new Set(report.results.map(({ result }) => deviceBytes(result)));
  const body = [
    ...(report.software ? [`<p class="banner">${softwareBanner}</p>`] : []),
    ...(single === undefined ? [`<h1>${escapeHtml(report.title)}</h1>`] : []),
    ...report.results.map((named) => resultPart(named, single === undefined ? 'h2' : 'h1')),
    ...(sizes.size > 1 ? [sizeSection(report)] : []),
    ...report.comparisons.map(comparisonPart),
    limitsPart(report),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${body.join('\n')}
</main>
<p id="said" class="note" role="status"></p>
<script>${script}</script>
</body>
</html>
`;
}
