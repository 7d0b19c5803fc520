// SPDX-License-Identifier: MIT
/**
 * Benchmarks: dumps and restores of a workload, a server or golden checkpoints; the limits of a machine; reports of the
 * results.
 * @module bench
 */
export { describeError, ToolkitError, UsageError } from '../errors.ts';
export {
  benchmarkDumpRestore,
  BenchmarkError,
  matrixCases,
  measureLimits,
  readResult,
  restoreLoop,
  runBenchmark,
  ServerBench,
  type BenchmarkCase,
  type BenchmarkProgress,
  type BenchmarkResult,
  type BenchmarkRun,
  type CaseSettings,
  type CaseSummary,
  type DumpRestoreOptions,
  type FirstAndLast,
  type Interval,
  type Limits,
  type LimitsOptions,
  type LoopOptions,
  type LoopResult,
  type MatrixAxes,
  type Measure,
  type OtherProgram,
  type PageCache,
  type Sample,
  type SamplePhase,
  type ServerBenchOptions,
  type Spread,
} from '../benchmark/index.ts';
export { goldenCases, measureGolden, type GoldenBenchOptions } from '../golden/index.ts';
export {
  loadReport,
  reportHtml,
  reportMarkdown,
  reportText,
  type BenchmarkReport,
  type BenchmarkReportOptions,
  type Comparison,
  type MarkdownReport,
  type NamedResult,
} from '../report/index.ts';
export { WorkloadError } from '../workload/index.ts';
