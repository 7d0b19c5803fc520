// SPDX-License-Identifier: MIT
/**
 * A report as Markdown, with its charts as SVG files next to it.
 * @module
 */
import { createRequire } from 'node:module';
import { reportCharts, resultCharts, type Chart } from './charts.ts';
import { echartsFile } from './echarts.ts';
import { environmentCells } from './figures.ts';
import type { BenchmarkReport } from './model.ts';
import { caseLabels, commandOf, leadOf } from './story.ts';
import { comparisonCells, predictionCells, resultCells, softwareBanner, type Cells } from './text.ts';

const WIDTH = 900;
/** Without a browser the library only estimates how wide a text is. */
const roomForText = { itemGap: 24, itemWidth: 18 };

const escapeCell = (text: string): string => text.replaceAll('|', String.raw`\|`);

function markdownTable({ head, rows }: Cells): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Draws a chart without a browser, on white so that it is readable anywhere. */
export function chartSvg({ option, title, height }: Chart): string {
  // loaded only when a report is written: it is a large module
  const require = createRequire(import.meta.url);
  const { init } = require(echartsFile()) as typeof import('echarts');
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: height + 40 });
  try {
    const { grid, legend } = option;
    const shifted = {
      ...option,
      animation: false,
      backgroundColor: '#ffffff',
      title: { text: title, left: 'center', top: 8, textStyle: { fontSize: 15 } },
      ...(legend === undefined || Array.isArray(legend) ? {} : { legend: { ...legend, ...roomForText } }),
      ...(grid === undefined || Array.isArray(grid) ? {} : { grid: { ...grid, top: 70 } }),
    };
    chart.setOption(shifted);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** A report and its pictures. */
export interface MarkdownReport {
  /** Markdown. */
  text: string;
  /** Content by file name. */
  pictures: Map<string, string>;
}

/**
 * The report as Markdown, with its pictures.
 * @param prefix of the pictures' file names
 */
export function reportMarkdown(report: BenchmarkReport, prefix: string): MarkdownReport {
  const pictures = new Map<string, string>();
  const picture = (chart: Chart): string => {
    const file = `${prefix}-${chart.id}.svg`;
    pictures.set(file, chartSvg(chart));
    return `![${chart.title}](${file})`;
  };
  const banner = report.software ? [`> **${softwareBanner}**`] : [];
  const parts = [`# ${report.title}`, ...banner];
  parts.push(...reportCharts(report).map(picture));
  for (const comparison of report.comparisons) {
    parts.push(
      `## ${comparison.now.name} compared with ${comparison.before.name}`,
      markdownTable(comparisonCells(comparison)),
      ...comparison.differences.map((one) => `- differs: ${one}`),
    );
  }
  const prediction = predictionCells(report);
  if (prediction) parts.push('## Limits of the machine', markdownTable(prediction));
  for (const named of report.results) {
    const cells = resultCells(named.result);
    const { sentence, where, compared, trust } = leadOf(named.result);
    const label = caseLabels(named.result);
    const rows = cells.rows.map(([name = '', ...row]) => [label(name), ...row]);
    const { command } = commandOf(named.result);
    parts.push(
      `## ${named.name}`,
      `**${sentence}** (${where}; ${compared}). ${trust}.`,
      markdownTable({ head: cells.head, rows }),
      `${cells.note}.`,
      ...resultCharts(named).map(picture),
      markdownTable({ head: ['where', 'what'], rows: environmentCells(named.result) }),
      `\`\`\`sh\n${command}\n\`\`\``,
    );
  }
  return { text: `${parts.join('\n\n')}\n`, pictures };
}
