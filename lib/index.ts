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
export {
  poolDrop,
  PoolError,
  poolMark,
  poolMetrics,
  poolPrefetch,
  poolStart,
  poolStatus,
  poolStop,
  serveMetrics,
  type MetricsAddress,
  type PoolDevice,
  type PoolImage,
  type PoolOptions,
  type PoolStartOptions,
  type PoolStatus,
} from './pool/index.ts';
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
  type Environment,
  type PluginVariant,
} from './paths.ts';

export {
  currentSystem,
  findCriu,
  planSetup,
  readSetupState,
  type CriuInfo,
  type FoundCriu,
  type Missing,
  type SetupState,
  type SetupStep,
  type System,
} from './setup/index.ts';
export {
  examine,
  type Check,
  type CheckStatus,
  type DoctorOptions,
  type DoctorReport,
} from './doctor/index.ts';
export {
  acceptedText,
  configTemplate,
  definitionOf,
  loadSettings,
  SettingError,
  settingKeys,
  writeConfigFile,
  type LoadedSettings,
  type SettingDefinition,
  type SettingKey,
  type SettingOrigin,
  type Settings,
} from './configure/index.ts';
export {
  build,
  listVariants,
  sanitizedBuildDir,
  type BuildOptions,
  type BuildResult,
  type VariantInfo,
} from './build/index.ts';
export {
  inspectDirectory,
  inspectPlugin,
  isCudaPlugin,
  type PluginDescriptor,
  type PluginInfo,
  type PluginKind,
} from './inspect/index.ts';
export {
  defaultLibdir,
  install,
  rollback,
  uninstall,
  type InstallOptions,
  type InstallResult,
} from './install/index.ts';

export {
  checkpointContainer,
  createContainer,
  listPresets,
  removeContainer,
  restoreContainer,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerInfo,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
  type Preset,
} from './container/index.ts';
export {
  createGolden,
  restoreGolden,
  type GoldenCreateOptions,
  type GoldenRestoreOptions,
  type GoldenRestoreResult,
  type GoldenResult,
} from './golden/index.ts';
export {
  benchmarkDumpRestore,
  matrixCases,
  measureLimits,
  readResult,
  runBenchmark,
  type BenchmarkCase,
  type BenchmarkResult,
  type BenchmarkRun,
  type Limits,
  type MatrixAxes,
  type Sample,
} from './benchmark/index.ts';
export {
  loadReport,
  reportHtml,
  reportMarkdown,
  reportText,
  type Report as BenchmarkReport,
} from './report/index.ts';
export { preloadEnvironment, run, type RunningProgram, type RunOptions } from './run/index.ts';
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
export {
  listCudaProcesses,
  listGpuProcesses,
  listGpus,
  NvmlError,
  openNativeDriver,
  StateWatcher,
  watchState,
  type CudaProcess,
  type Gpu,
  type GpuOptions,
  type GpuProcess,
  type GpuReport,
  type StateChange,
  type StateWatchOptions,
} from './native/index.ts';
export {
  becomeSubreaper,
  readMaps,
  readMemory,
  readTree,
  waitForExit,
  watchProcess,
  type ExitStatus,
  type MapsSummary,
  type MemorySummary,
  type ProcessStat,
  type WaitOptions,
  type WatchedProcess,
} from './process/index.ts';
export { readOpStatus, type CudaTask, type DriverStep, type OpStatus } from './criu/index.ts';
export { createBundle, type BundleFacts, type BundleOptions, type BundleResult } from './bundle/index.ts';
