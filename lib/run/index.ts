// SPDX-License-Identifier: MIT
/**
 * Starts applications that are going to be checkpointed.
 * @module
 */
export { preloadEnvironment, type PreloadEnvironment } from './preload-env.ts';
export { startProgram, type RunningProgram, type StartOptions } from './run.ts';
