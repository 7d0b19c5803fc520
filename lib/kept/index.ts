// SPDX-License-Identifier: MIT
/** The files of a dumped tree that are not in CRIU's images. @module */
export { KeptFilesError } from './error.ts';
export { isLinkRemap, keepFiles, MANIFEST_ROOM, type KeepOptions } from './keep.ts';
export { bytesInMemory } from './in-memory.ts';
export { sampleAhead } from './sample-ahead.ts';
export { Samples } from './version.ts';
export { isKeptName, manifestName, readManifest, type Manifest, type ManifestFile } from './manifest.ts';
export {
  endGeneration,
  findGeneration,
  writeGeneration,
  type Generation,
  type WrittenGeneration,
} from './generation.ts';
export { readOrigin, writeOrigin, type Origin } from './origin.ts';
export { compareFiles, type CompareOptions, type Step } from './compare.ts';
export { applySteps, bringBackFiles } from './bring-back.ts';
export { isBuildId, readBuildId } from './version.ts';
