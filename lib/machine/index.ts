// SPDX-License-Identifier: MIT
/**
 * What this machine has: its distribution, the programs on PATH, the CRIU to use. Nothing is changed; `setup/` does
 * that.
 * @module
 */
export {
  daemonNames,
  dockerConfig,
  engineDaemons,
  hasExperimental,
  type DaemonName,
  type EngineDaemon,
} from './daemons.ts';
export { learned, learnedNow, readBootId } from './facts.ts';
export {
  cachedCriuDirs,
  completeMarker,
  findCriu,
  noCriuError,
  type CriuCandidate,
  type CriuInfo,
  type CriuOrigin,
  type FindCriuOptions,
  type FoundCriu,
  type UnusableCriu,
  type UsableCriu,
} from './find-criu.ts';
export { findOnPath, isExecutable } from './find-on-path.ts';
export { fileSystemRoom, type FileSystemRoom } from './file-system.ts';
export { availableHostMemory } from './host-memory.ts';
export { downLoopback, unmountedRoot } from './host-obstacle.ts';
export {
  canDump,
  capabilityBits,
  checkRights,
  effectiveCapabilities,
  sudoCommand,
  type Capability,
} from './rights.ts';
export { currentSystem, type System } from './system.ts';
export { compareVersions, oldestCriu } from './versions.ts';
