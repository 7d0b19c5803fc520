// SPDX-License-Identifier: MIT
/**
 * Starts applications that are going to be checkpointed.
 * @module
 */
export { launch, type Launch, type LaunchOptions, type StartOptions } from './launcher.ts';
export { preloadEnvironment, preloadProblem, type PreloadEnvironment } from './preload-env.ts';
export { startLaunch, startProgram, type RunningProgram } from './run.ts';
