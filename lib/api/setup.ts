// SPDX-License-Identifier: MIT
/**
 * Preparing a machine: checking it, getting CRIU, building and installing plugins, containers, settings and bundles.
 * @module setup
 */
export { describeError, EnvironmentError, ToolkitError, UsageError, type Missing } from '../errors.ts';
export {
  checkMachine,
  type CheckMachineOptions,
  type CheckStatus,
  type MachineCheck,
  type MachineReport,
} from '../doctor/index.ts';
export {
  advise,
  type Advice,
  type AdviceFacts,
  type AdviseOptions,
  type Amounts,
  type FasterWay,
  type LimitsFacts,
  type ProcessFacts,
  type StoreFacts,
  type UtilizationRow,
  type Way,
  type WayAdvice,
} from '../advise/index.ts';
export {
  currentSystem,
  findCriu,
  type CriuCandidate,
  type CriuInfo,
  type CriuOrigin,
  type FindCriuOptions,
  type FoundCriu,
  type System,
  type UnusableCriu,
  type UsableCriu,
} from '../machine/index.ts';
export { planSetup, readSetupState, SetupError, type SetupState, type SetupStep } from '../setup/index.ts';
export {
  planContainerSetup,
  undoContainerSetup,
  type ContainerSetupOptions,
  type ContainerSetupStep,
  type PathState,
  type UndoneSetup,
} from '../setup/containers/index.ts';
export { buildPlugins, type BuildOptions, type BuildResult } from '../build/index.ts';
export {
  inspectPlugin,
  InspectError,
  inspectPluginDirectory,
  isCudaPlugin,
  type PluginDescriptor,
  type PluginInfo,
  type PluginKind,
} from '../inspect/index.ts';
export {
  defaultLibdir,
  InstallError,
  installPlugin,
  installProgram,
  rollBackPlugin,
  uninstallPlugin,
  uninstallProgram,
  type InstallOptions,
  type InstallResult,
  type ProgramOptions,
  type ProgramResult,
  type RemovedProgram,
} from '../install/index.ts';
export {
  acceptedText,
  definitionOf,
  settingKeys,
  SettingsFileError,
  settingsTemplate,
  writeSettingsFile,
  type SettingDefinition,
} from '../settings/index.ts';
export { createBundle, type BundleFacts, type BundleOptions, type BundleResult } from '../bundle/index.ts';
export { artifactDir, builtProgram, softcudaLibrary } from '../paths.ts';
export { variantDir, variantPlugin } from '../variant.ts';
export type { ExecOptions, ExecResult } from '../exec.ts';
export type { ByteCount, ProgressListener } from '../progress.ts';
