// SPDX-License-Identifier: MIT
/** Ends CUDA processes without killing them while they use a GPU. @module */
export { StopError } from './error.ts';
export { endProgram, releaseDevices, type ReleasedTree } from './release.ts';
export { stopProcess, type StopOptions, type StoppedProcess, type StopResult } from './stop.ts';
