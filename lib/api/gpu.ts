// SPDX-License-Identifier: MIT
/**
 * GPUs, CUDA processes and the driver's checkpoint API. Loads within milliseconds: it imports neither settings nor the
 * command line.
 * @module gpu
 */
export { describeError, EnvironmentError, ToolkitError, UsageError } from '../errors.ts';
export {
  DriverError,
  listCudaProcesses,
  listGpuProcesses,
  listGpus,
  NvmlError,
  openDriver,
  parseDeviceMap,
  ProcessStateError,
  StateWatcher,
  watchState,
  type BackendName,
  type CheckpointDriver,
  type CudaProcess,
  type DevicePair,
  type Gpu,
  type GpuOptions,
  type GpuProcess,
  type GpuReport,
  type LockOptions,
  type OpenDriverOptions,
  type ProcessState,
  type RestoreStepOptions,
  type StateChange,
  type StateEvents,
  type StateWatchOptions,
} from '../gpu/index.ts';
export {
  ContextWatcher,
  listContexts,
  watchContexts,
  type ChangedContext,
  type Container,
  type ContextChange,
  type ContextEvents,
  type ContextOptions,
  type ContextSnapshot,
  type ContextSource,
  type ContextWatchOptions,
  type GpuContext,
  type InterceptorState,
  type MemoryOwner,
  type MigInstance,
  type OwnerKind,
  type PoolContextUse,
  type PoolUse,
} from '../context/index.ts';
