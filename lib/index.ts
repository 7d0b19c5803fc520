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
export {
  checkpoint,
  CheckpointError,
  type CheckpointOptions,
  type CheckpointResult,
} from './checkpoint/index.ts';
export {
  restore,
  RestoreError,
  type RestoredProcess,
  type RestoreOptions,
  type RestoreResult,
} from './restore/index.ts';
export type { CudaTask, DriverStep, OperationOptions, Phase, PluginChoice } from './criu/index.ts';
export {
  DriverError,
  openDriver,
  parseDeviceMap,
  type CheckpointDriver,
  type DevicePair,
  type LockOptions,
  type ProcessState,
  type RestoreStepOptions,
} from './driver/index.ts';
export { exitCodeOf, type ExitStatus, type WaitOptions } from './process/index.ts';
export { run, type RunningProgram, type RunOptions } from './run/index.ts';
