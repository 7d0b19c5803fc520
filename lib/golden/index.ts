// SPDX-License-Identifier: MIT
/** Golden checkpoints of inference servers. @module */
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
export { ask, parseServerUrl, type Answer, type RequestOptions } from './http.ts';
export { parseBody, Server, type ServerOptions } from './server.ts';
