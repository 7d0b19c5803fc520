// SPDX-License-Identifier: MIT
/**
 * Setup prepares a machine: packages and a usable CRIU here, checkpointing of containers in `containers/`. Values
 * that users choose are in `settings/`; `install/` puts a plugin where criu finds it.
 * @module
 */
export { SetupError } from './error.ts';
export { criuCacheLayout } from './criu-build.ts';
export { installPackages, missingPackages } from './packages.ts';
export {
  readLauncher,
  removeLauncher,
  writeLauncher,
  type Launcher,
  type LauncherState,
} from './launcher.ts';
export { planSetup, readSetupState, type SetupState, type SetupStep } from './setup.ts';
