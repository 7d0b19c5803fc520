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
export { countConnections, untilNoConnections } from '../server/connections.ts';
export { ServerBench, type ServerBenchOptions } from '../benchmark/server-bench.ts';
export { ask, parseServerUrl, type Answer, type RequestOptions } from '../server/http.ts';
export { containerHost, parseBody, Server, type Host, type ServerOptions } from '../server/server.ts';
