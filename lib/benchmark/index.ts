// SPDX-License-Identifier: MIT
export {
  benchmarkDumpRestore,
  type BenchmarkCase,
  type DumpRestoreOptions,
  type Sample,
} from './dump-restore.ts';
export { findMount, readEnvironment, type BenchmarkEnvironment, type ImageStore } from './environment.ts';
export { measures, spreadOf, summarize, type CaseSummary, type Measure, type Spread } from './summary.ts';
