// SPDX-License-Identifier: MIT
/**
 * A report as one self-contained HTML page: it includes the charting library, and its content security policy forbids
 * loading anything.
 * @module
 */
import { readFileSync } from 'node:fs';
import { reportCharts, resultCharts, type Chart } from './charts.ts';
import { echartsFile } from './echarts.ts';
import { environmentCells } from './figures.ts';
import type { BenchmarkReport } from './model.ts';
import { comparisonCells, predictionCells, resultCells, softwareBanner, type Cells } from './text.ts';

const style = `
:root { color-scheme: light dark; --line: #8886; --warn: #b3261e; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.scroll { overflow-x: auto; }
.banner { background: var(--warn); color: #fff; font-weight: 600; padding: .75rem 1rem; border-radius: .4rem; }
.note { opacity: .75; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: 600; margin-bottom: .25rem; }
@media print { figure { break-inside: avoid; } }
`;

/** Draws every chart, and draws it again when the reader's color scheme changes. */
const script = `
const charts = JSON.parse(document.getElementById('charts').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
let drawn = [];
function draw() {
  for (const chart of drawn) chart.dispose();
  drawn = charts.map(({ id, option }) => {
    const chart = echarts.init(document.getElementById(id), dark.matches ? 'dark' : null, { renderer: 'svg' });
    chart.setOption({ animation: false, ...option, backgroundColor: 'transparent' });
    return chart;
  });
}
draw();
dark.addEventListener('change', draw);
addEventListener('resize', () => drawn.forEach((chart) => chart.resize()));
`;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? character);
}

function row(tag: 'th' | 'td', cells: readonly string[]): string {
  return `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
}

function htmlTable({ head, rows }: Cells): string {
  const top = head.length === 0 ? '' : `<thead>${row('th', head)}</thead>`;
  const body = rows.map((cells) => row('td', cells)).join('');
  return `<div class="scroll"><table>${top}<tbody>${body}</tbody></table></div>`;
}

function figure({ id, title, height }: Chart): string {
  return `<figure><figcaption>${escapeHtml(title)}</figcaption><div id="${id}" class="chart" role="img" aria-label="${escapeHtml(title)}" style="height:${height}px"></div></figure>`;
}

function chartLibrary(): string {
  return readFileSync(echartsFile(), 'utf8');
}

/** Text that is safe inside a script element: no tag can begin in it. */
const inScript = (text: string): string => text.replaceAll('<', String.raw`\u003c`);

function body(report: BenchmarkReport, overall: readonly Chart[], perResult: readonly Chart[][]): string {
  const parts = [`<h1>${escapeHtml(report.title)}</h1>`];
  if (report.software) parts.push(`<p class="banner">${softwareBanner}</p>`);
  parts.push(...overall.map(figure));
  for (const comparison of report.comparisons) {
    parts.push(
      `<h2>${escapeHtml(`${comparison.now.name} compared with ${comparison.before.name}`)}</h2>`,
      htmlTable(comparisonCells(comparison)),
      ...comparison.differences.map((one) => `<p class="note">differs: ${escapeHtml(one)}</p>`),
    );
  }
  const prediction = predictionCells(report);
  if (prediction) parts.push('<h2>Limits of the machine</h2>', htmlTable(prediction));
  for (const [index, { name, result }] of report.results.entries()) {
    const cells = resultCells(result);
    parts.push(
      `<h2>${escapeHtml(name)}</h2>`,
      htmlTable(cells),
      `<p class="note">${escapeHtml(cells.note)}</p>`,
      ...(perResult[index] ?? []).map(figure),
      '<details><summary>where it was measured</summary>',
      htmlTable({ head: [], rows: environmentCells(result) }),
      '</details>',
    );
  }
  return parts.join('\n');
}

/** The page. Its only scripts are the charting library and a few lines that draw. */
export function reportHtml(report: BenchmarkReport): string {
  const overall = reportCharts(report);
  const perResult = report.results.map(resultCharts);
  const charts = [...overall, ...perResult.flat()].map(({ id, option }) => ({ id, option }));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(report.title)}</title>
<style>${style}</style>
</head>
<body>
${body(report, overall, perResult)}
<script type="application/json" id="charts">${inScript(JSON.stringify(charts))}</script>
<script>${chartLibrary()}</script>
<script>${script}</script>
</body>
</html>
`;
}
