// SPDX-License-Identifier: MIT
export { install, rollback, uninstall, type InstallOptions, type InstallResult } from './install.ts';
export { compiledLibdir, defaultLibdir, parseCompiledLibdir } from './libdir.ts';
export { backupDirName, readManifest, type Manifest } from './manifest.ts';
