// SPDX-License-Identifier: MIT
/** Install: a plugin is put where criu finds it, and taken away again. The machine itself is prepared by `setup/`. @module */
export { InstallError } from './error.ts';
export {
  installPlugin,
  rollBackPlugin,
  uninstallPlugin,
  type InstallOptions,
  type InstallResult,
} from './install.ts';
export { compiledLibdir, defaultLibdir, parseCompiledLibdir } from './libdir.ts';
export { backupDirName, readManifest, type Manifest } from './manifest.ts';
