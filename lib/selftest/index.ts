// SPDX-License-Identifier: MIT
/** Verifies this project's claims on a machine. @module */
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
