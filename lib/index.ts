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
  type PoolStopOptions,
  type PoolStatus,
} from './pool/index.ts';
export type { ExecOptions, ExecResult } from './exec.ts';
export {
  createIo,
  formatBytes,
  formatDuration,
  type Io,
  type IoOptions,
  type OutputStream,
  table,
  type TableOptions,
} from './output.ts';
export { type ProgressTiming, type Report, withProgress } from './progress.ts';
export {
  artefactDir,
  buildDir,
  builtProgram,
  cacheDir,
  configFile,
  type Environment,
  softcudaLibrary,
} from './paths.ts';
export {
  listVariants,
  type PluginVariant,
  pluginVariants,
  variantDir,
  type VariantInfo,
  variantPlugin,
} from './variant.ts';
export {
  type CriuCandidate,
  type CriuInfo,
  type CriuOrigin,
  currentSystem,
  findCriu,
  type FoundCriu,
  type System,
} from './machine/index.ts';
export type { Answer as ServerAnswer, ServerOptions } from './server/index.ts';

export { type Missing, planSetup, readSetupState, type SetupState, type SetupStep } from './setup/index.ts';
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
} from './settings/index.ts';
export { build, type BuildOptions, type BuildResult, sanitizedBuildDir } from './build/index.ts';
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
  listGpuImages,
  readGpuImage,
  readGpuImages,
  readPageImages,
  verifyGpuImages,
  GpuImageError,
  type GpuAllocation,
  type GpuChunk,
  type GpuDevice,
  type GpuImage,
  type GpuManifest,
  type GpuStripe,
  type PageImage,
  type PageMapping,
  type VerifiedImage,
  type VerifyOptions,
} from './images/index.ts';
export {
  planContainerSetup,
  undoContainerSetup,
  type ContainerSetupOptions,
  type ContainerSetupStep,
  type PathState,
} from './setup/containers/index.ts';
export {
  cdiDevice,
  cdiSpec,
  checkpointContainer,
  containerEdits,
  writeCdi,
  type CdiSpec,
  type ContainerEdits,
  type ContainerMount,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerInfo,
  type ContainerPhase,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
  createContainer,
  type GpuAccess,
  listPresets,
  type Preset,
  type PresetPart,
  removeContainer,
  restoreContainer,
} from './container/index.ts';
export {
  createGolden,
  type GoldenBenchOptions,
  goldenCases,
  type GoldenCreateOptions,
  type GoldenRestoreOptions,
  type GoldenRestoreResult,
  type GoldenResult,
  measureGolden,
  restoreGolden,
} from './golden/index.ts';
export {
  type BenchmarkCase,
  benchmarkDumpRestore,
  type BenchmarkProgress,
  type BenchmarkResult,
  type BenchmarkRun,
  type CaseSettings,
  type CaseSummary,
  type DumpRestoreOptions,
  type Interval,
  type Limits,
  type LimitsOptions,
  type LoopOptions,
  type LoopResult,
  type MatrixAxes,
  matrixCases,
  type Measure,
  measureLimits,
  type OtherProgram,
  type PageCache,
  readResult,
  restoreLoop,
  runBenchmark,
  type Sample,
  type SamplePhase,
  ServerBench,
  type ServerBenchOptions,
  type Spread,
} from './benchmark/index.ts';
export {
  type Comparison,
  loadReport,
  type MarkdownReport,
  type NamedResult,
  type Report as BenchmarkReport,
  type ReportOptions as BenchmarkReportOptions,
  reportHtml,
  reportMarkdown,
  reportText,
} from './report/index.ts';
export {
  preloadEnvironment,
  type PreloadEnvironment,
  run,
  type RunningProgram,
  type RunOptions,
} from './run/index.ts';
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
  wake,
  type WakeOptions,
  type WakeResult,
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
  type AddonDevice,
  type CudaProcess,
  type Gpu,
  type GpuOptions,
  type GpuProcess,
  type GpuReport,
  listCudaProcesses,
  listGpuProcesses,
  listGpus,
  NvmlError,
  type MemoryKind,
  type MemoryMap,
  type MemoryMapOptions,
  type MemoryMapping,
  type MemoryOptions,
  type MemoryPages,
  type MemorySums,
  openNativeDriver,
  readMemoryMap,
  readMemoryPages,
  type StateChange,
  type StateEvents,
  StateWatcher,
  type StateWatchOptions,
  watchState,
} from './native/index.ts';
export {
  becomeSubreaper,
  SystemCallError,
  readMemory,
  readTree,
  waitForExit,
  watchProcess,
  type ExitStatus,
  type MemorySummary,
  type ProcessStat,
  type WaitOptions,
  type WatchedProcess,
} from './process/index.ts';
export { createBundle, type BundleFacts, type BundleOptions, type BundleResult } from './bundle/index.ts';
export {
  type CriuLogSummary,
  type CriuResult,
  type CudaTask,
  type DriverStep,
  type DumpStats,
  type OperationOptions,
  type OpStatus,
  type Phase,
  type PluginChoice,
  readOpStatus,
} from './criu/index.ts';
