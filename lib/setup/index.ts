// SPDX-License-Identifier: MIT
/**
 * Set-up: preparing a machine. Here for checkpointing at all (packages, a CRIU that will do), in `containers/` for
 * checkpointing containers. Values a user chooses are `settings/`; a plugin is put where criu finds it by `install/`.
 * @module
 */
export { SetupError } from './error.ts';
export { criuCacheLayout } from './criu-build.ts';
export { installPackages, missingPackages } from './packages.ts';
export { planSetup, readSetupState, type SetupState, type SetupStep } from './setup.ts';
