// SPDX-License-Identifier: MIT
/** Installs a plugin where criu finds it, and removes it. `setup/` prepares the machine itself. @module */
export { InstallError } from './error.ts';
export {
  installPlugin,
  rollBackPlugin,
  uninstallPlugin,
  type InstallOptions,
  type InstallResult,
} from './install.ts';
export { programInterceptor } from './interceptor.ts';
export { compiledLibdir, defaultLibdir, parseCompiledLibdir } from './libdir.ts';
export {
  installProgram,
  uninstallProgram,
  type ProgramOptions,
  type ProgramResult,
  type RemovedProgram,
} from './program.ts';
export { backupDirName, readManifest, type Manifest } from './manifest.ts';
