// SPDX-License-Identifier: MIT
/**
 * Checkpoint and restore of process trees, programs to be checkpointed, processes, settings and errors. More is in
 * `criu-cuda-toolkit/gpu`, `/pool`, `/images`, `/container`, `/bench` and `/setup`.
 * @module index
 */
export {
  CommandError,
  describeError,
  EnvironmentError,
  InterruptedError,
  ToolkitError,
  UsageError,
  type CommandFacts,
  type Missing,
  type ToolkitErrorOptions,
} from '../errors.ts';
export {
  checkpoint,
  CheckpointError,
  checkProcess,
  type CheckOptions,
  type CheckpointOptions,
  type CheckpointResult,
} from '../checkpoint/index.ts';
export {
  checkRestore,
  restore,
  RestoreError,
  wake,
  WakeError,
  type Isolation,
  type IsolationOptions,
  type RestoreCheck,
  type RestoredProcess,
  type RestoreOptions,
  type RestoreProblem,
  type RestoreResult,
  type WakeOptions,
  type WakeResult,
} from '../restore/index.ts';
export { KeptFilesError } from '../kept/index.ts';
export {
  StopError,
  stopProcess,
  type StopOptions,
  type StoppedProcess,
  type StopResult,
} from '../stop/index.ts';
export {
  CriuImageError,
  CriuStatusError,
  type CheckResult,
  type CriuFlag,
  type CriuFlags,
  type CudaTask,
  type Fallback,
  type OperationOptions,
  type TraceOptions,
  type Phase,
  type PluginChoice,
  type PoolMemory,
  type Reason,
  type TaskMemory,
  type UsedPlugin,
} from '../criu/index.ts';
export {
  preloadEnvironment,
  startProgram,
  type PreloadEnvironment,
  type RunningProgram,
  type StartOptions,
} from '../run/index.ts';
export {
  becomeSubreaper,
  ProcError,
  readMemoryMap,
  readMemoryPages,
  readMemorySummary,
  readProcessTree,
  SystemCallError,
  waitForExit,
  watchProcess,
  type ExitStatus,
  type MemoryKind,
  type MemoryMap,
  type MemoryMapOptions,
  type MemoryMapping,
  type MemoryOptions,
  type MemoryPages,
  type MemorySummary,
  type MemorySums,
  type ProcessStat,
  type WaitOptions,
  type WatchedProcess,
  type OnTransfer,
  type TransferProgress,
} from '../process/index.ts';
export {
  loadSettings,
  SettingError,
  type LoadedSettings,
  type SettingKey,
  type SettingOrigin,
  type Settings,
} from '../settings/index.ts';
export { interceptorLibrary, type Environment } from '../paths.ts';
export { listVariants, pluginVariants, type PluginVariant, type VariantInfo } from '../variant.ts';
export {
  listOperations,
  type ListOperationsOptions,
  type OperationContainer,
  type OperationProcess,
  type OperationRecord,
} from '../operations/index.ts';
export { IsolatedError } from '../isolated/index.ts';
