// SPDX-License-Identifier: MIT
/** Containers of podman whose GPU memory is checkpointed with them. @module */
export { ContainerError } from './error.ts';
export { cdiDeviceName, cdiFile, cdiSpec, writeCdi, type CdiSpec } from './cdi.ts';
export {
  checkpointContainer,
  imagesPlace,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
} from './checkpoint.ts';
export {
  containerEdits,
  editFlags,
  settingVariables,
  softcudaVariables,
  type ContainerEdits,
  type ContainerMount,
} from './edits.ts';
export {
  createArguments,
  createContainer,
  currentLimitFlags,
  labels,
  limitFlags,
  seccompFlags,
  seccompProfile,
  type ContainerCreateOptions,
  type CreatedContainer,
} from './create.ts';
export {
  addToRuncConfig,
  ctrFlags,
  dockerFlags,
  editFormats,
  otherEnginesWarning,
  podManifest,
  runcPart,
  shellWords,
  type EditFormat,
  type RuncMount,
  type RuncPart,
} from './formats.ts';
export { gpuFlags, hasGpu, type GpuAccess } from './gpu.ts';
export { type ContainerPhase } from './phases.ts';
export {
  findContainer,
  podman,
  podmanCriuFlags,
  requireContainer,
  type ContainerInfo,
  type PodmanCriuFlags,
  sayingWhatRuns,
} from './podman.ts';
export { findPreset, listPresets, partText, presetNames, type Preset, type PresetPart } from './presets.ts';
export {
  removeContainer,
  restoreContainer,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
} from './restore.ts';
export { configuredLibdir, containerPluginDir, runtimeConfig } from './runtime.ts';
export type { ImportOptions } from './import.ts';
export { pruneContainers, type PruneOptions, type PruneResult } from './prune.ts';
