// SPDX-License-Identifier: MIT
/** Restore of a process tree. @module */
export { RestoreError, WakeError } from './error.ts';
export { wake, type WakeOptions, type WakeResult } from './wake.ts';
export { restore, type RestoredProcess, type RestoreOptions, type RestoreResult } from './restore.ts';
export { isServedByDaemon } from './early-load.ts';
export { needsLinks } from './without-terminal.ts';
export type { Isolation, IsolationOptions } from './isolated.ts';
export { checkRestore, type RestoreCheck, type RestoreProblem } from './check.ts';
