// SPDX-License-Identifier: MIT
export { ratioInterval, type Interval } from './bootstrap.ts';
export { caseNames, matrixCases, needsDaemon, parseCase, type MatrixAxes } from './cases.ts';
export { BenchmarkDaemon } from './daemon.ts';
export {
  benchmarkDumpRestore,
  caseEnvironment,
  coldSample,
  dropPageCache,
  imagedDevice,
  prepareRestore,
  type BenchmarkCase,
  type CaseSettings,
  type DumpRestoreOptions,
  type OtherProgram,
  type PageCache,
  type Sample,
  type SamplePhase,
} from './dump-restore.ts';
export { findMount, readEnvironment, type BenchmarkEnvironment, type ImageStore } from './environment.ts';
export { BenchmarkError } from './error.ts';
export { Journal, type Plan } from './journal.ts';
export {
  measureLimits,
  parseLimits,
  predict,
  type Limits,
  type LimitsOptions,
  type Prediction,
} from './limits.ts';
export { restoreLoop, type FirstAndLast, type LoopOptions, type LoopResult } from './loop.ts';
export {
  createResult,
  parseResult,
  readJson,
  readResult,
  resultCsv,
  writeResult,
  type BenchmarkResult,
  type ResultCase,
} from './result.ts';
export { runBenchmark, type BenchmarkRun, type BenchmarkProgress } from './run.ts';
export { coldPhases, rateOf, ServerBench, type ServerBenchOptions } from './server-bench.ts';
export {
  measures,
  spreadOf,
  summarize,
  valuesOf,
  type CaseSummary,
  type Measure,
  type Spread,
} from './summary.ts';
