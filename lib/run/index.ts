// SPDX-License-Identifier: MIT
/** Starting applications that are to be checkpointed. @module */
export { preloadEnvironment, type PreloadEnvironment } from './preload-env.ts';
export { startProgram, type RunningProgram, type StartOptions } from './run.ts';
