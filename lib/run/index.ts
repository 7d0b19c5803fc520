// SPDX-License-Identifier: MIT
/** Starting applications that are to be checkpointed. @module */
export { preloadEnvironment, type PreloadEnvironment } from './preload-env.ts';
export { run, type RunningProgram, type RunOptions } from './run.ts';
