// SPDX-License-Identifier: MIT
export { build, sanitizedBuildDir, type BuildOptions, type BuildResult } from './build.ts';
