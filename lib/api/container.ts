// SPDX-License-Identifier: MIT
/**
 * Podman containers: creates, checkpoints and restores them. Golden checkpoints of inference servers, and CDI files for
 * engines that create containers themselves.
 * @module container
 */
export { CommandError, describeError, EnvironmentError, ToolkitError, UsageError } from '../errors.ts';
export {
  cdiDeviceName,
  cdiSpec,
  checkpointContainer,
  containerEdits,
  ContainerError,
  createContainer,
  listPresets,
  pruneContainers,
  removeContainer,
  restoreContainer,
  writeCdi,
  type CdiSpec,
  type ContainerCheckpointOptions,
  type ContainerCheckpointResult,
  type ContainerCreateOptions,
  type ContainerEdits,
  type ContainerInfo,
  type CreatedContainer,
  type ContainerMount,
  type ContainerPhase,
  type ContainerRestoreOptions,
  type ContainerRestoreResult,
  type GpuAccess,
  type Preset,
  type PresetPart,
  type PruneOptions,
  type PruneResult,
} from '../container/index.ts';
export {
  createGolden,
  GoldenError,
  restoreGolden,
  type GoldenCreateOptions,
  type GoldenRestoreOptions,
  type GoldenRestoreResult,
  type GoldenResult,
} from '../golden/index.ts';
export { ServerError, type ServerAnswer, type ServerOptions } from '../server/index.ts';
