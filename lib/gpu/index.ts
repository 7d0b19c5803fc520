// SPDX-License-Identifier: MIT
/**
 * GPUs, CUDA processes and the driver's checkpoint API.
 * @module
 */
export type { AddonDevice } from '../native/index.ts';
export {
  listGpuProcesses,
  listGpus,
  NvmlError,
  type Gpu,
  type GpuOptions,
  type GpuProcess,
  type GpuReport,
} from './devices.ts';
export { chooseDriver, type DriverChoice } from './choose.ts';
export {
  MIN_DRIVER_VERSION,
  openDriver,
  type CheckpointDriver,
  type LockOptions,
  type ProcessState,
  type RestoreStepOptions,
} from './driver.ts';
export { DriverError, ProcessStateError } from './driver-error.ts';
export { openNativeDriver } from './native-driver.ts';
export { listCudaProcesses, type CudaProcess } from './processes.ts';
export { parseDeviceMap, parseUuid, type DevicePair } from './uuid.ts';
export {
  StateWatcher,
  watchState,
  type StateChange,
  type StateEvents,
  type StateWatchOptions,
} from './watch.ts';
