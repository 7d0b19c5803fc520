// SPDX-License-Identifier: MIT
/**
 * What this machine is and has: its system, the programs on PATH, the CRIU to use. Looks only; `setup/` changes it.
 * @module
 */
export {
  cachedCriuDirs,
  completeMarker,
  findCriu,
  type CriuCandidate,
  type CriuInfo,
  type CriuOrigin,
  type FoundCriu,
  type UnusableCriu,
  type UsableCriu,
} from './find-criu.ts';
export { findOnPath } from './find-on-path.ts';
export { currentSystem, type System } from './system.ts';
export { compareVersions, oldestCriu } from './versions.ts';
