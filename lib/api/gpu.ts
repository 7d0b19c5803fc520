// SPDX-License-Identifier: MIT
/**
 * GPUs, CUDA processes and the driver's checkpoint API. Loads in a few milliseconds: neither settings nor anything of
 * the command line comes with it.
 * @module gpu
 */
export { describeError, EnvironmentError, ToolkitError, UsageError } from '../errors.ts';
export {
  DriverError,
  openDriver,
  parseDeviceMap,
  ProcessStateError,
  type CheckpointDriver,
  type DevicePair,
  type LockOptions,
  type ProcessState,
  type RestoreStepOptions,
} from '../driver/index.ts';
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
  type StateEvents,
  type StateWatchOptions,
} from '../native/index.ts';
