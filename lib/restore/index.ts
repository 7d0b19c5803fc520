// SPDX-License-Identifier: MIT
/** Restore of a process tree. @module */
export { RestoreError } from './error.ts';
export { restore, type RestoredProcess, type RestoreOptions, type RestoreResult } from './restore.ts';
