// SPDX-License-Identifier: MIT
/** Checkpoint of a process tree. @module */
export { checkpoint, type CheckpointOptions, type CheckpointResult } from './checkpoint.ts';
export { checkProcess, type CheckOptions } from './check.ts';
export { CheckpointError } from './error.ts';
export { hasCheckpoint, imagesBytes } from './images-dir.ts';
