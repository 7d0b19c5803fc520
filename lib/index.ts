// SPDX-License-Identifier: MIT
/**
 * Public API of the toolkit: re-exports by name, nothing else.
 * @module
 */
export {
  CommandError,
  describeError,
  EnvironmentError,
  ToolkitError,
  UsageError,
  type CommandFacts,
  type ExitCode,
  type ToolkitErrorOptions,
} from './errors.ts';
export { createIo, formatBytes, formatDuration, table, type Io, type IoOptions } from './output.ts';
export { withProgress, type Report } from './progress.ts';
export {
  buildDir,
  builtProgram,
  cacheDir,
  configFile,
  pluginVariants,
  softcudaLibrary,
  variantDir,
  variantPlugin,
  type PluginVariant,
} from './paths.ts';
