// SPDX-License-Identifier: MIT
export { criuCacheLayout } from './criu-build.ts';
export {
  cachedCriuDirs,
  compareVersions,
  findCriu,
  findOnPath,
  oldestCriu,
  type CriuCandidate,
  type CriuInfo,
  type CriuOrigin,
  type FoundCriu,
} from '../machine/find-criu.ts';
export { installPackages, missingPackages } from './packages.ts';
export { planSetup, readSetupState, type Missing, type SetupState, type SetupStep } from './setup.ts';
export { currentSystem, type System } from '../machine/system.ts';
