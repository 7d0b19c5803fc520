// SPDX-License-Identifier: MIT
export { buildPlugins, sanitizedBuildDir, type BuildOptions, type BuildResult } from './build.ts';
