// SPDX-License-Identifier: MIT
/** Reports on benchmark results. @module */
export { chartSvg, reportMarkdown, type MarkdownReport } from './markdown.ts';
export { reportCharts, resultCharts, type Chart } from './charts.ts';
export { reportHtml } from './page/index.ts';
export {
  deviceBytes,
  environmentDifferences,
  loadReport,
  type Comparison,
  type NamedResult,
  type BenchmarkReport,
  type BenchmarkReportOptions,
} from './model.ts';
export { reportText, resultTable, softwareBanner } from './text.ts';
