// SPDX-License-Identifier: MIT
/** Shows that what this project claims holds on a machine. @module */
export { SelftestError } from './error.ts';
export type { CheckSettings, Figures } from './check.ts';
export {
  runSelftest,
  selftestChecks,
  selftestObstacle,
  type CheckResult,
  type SelftestOptions,
  type SelftestResult,
} from './run.ts';
