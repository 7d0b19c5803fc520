// SPDX-License-Identifier: MIT
/** Golden checkpoints of inference servers in containers. @module */
export { GoldenError } from './error.ts';
export { goldenCases, measureGolden, type GoldenBenchOptions } from './bench.ts';
export {
  compareAnswers,
  createGolden,
  restoreGolden,
  type GoldenCreateOptions,
  type GoldenRecord,
  type GoldenRestoreOptions,
  type GoldenRestoreResult,
  type GoldenResult,
} from './golden.ts';
export { containerHost } from './container-host.ts';
