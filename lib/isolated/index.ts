// SPDX-License-Identifier: MIT
/** Trees in namespaces of their own. @module */
export {
  chooseLastPid,
  findIsolatedTree,
  isFirstProcess,
  readOutsidePids,
  type IsolatedTree,
} from './pids.ts';
export { findPrivateFiles, type PrivateFiles } from './private-files.ts';
export { runInside, withoutDaemon, type InsideResult, type InsideRun } from './outside.ts';
export type { InsideReport } from './report.ts';
export { IsolatedError, type Reviver, type SentError } from './errors.ts';
export { insideWord } from './request.ts';
