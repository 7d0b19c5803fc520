// SPDX-License-Identifier: MIT
/**
 * GPUs, CUDA processes and the driver's checkpoint API.
 * @module
 */
export {
  MIN_DRIVER_VERSION,
  STORAGE_DRIVER_VERSION,
  type BackendName,
  type Gpu,
  type GpuProcess,
  type GpuReport,
  type ProcessState,
} from '../native/index.ts';
export { chooseDriver, type DriverChoice } from './choose.ts';
export {
  environmentOf,
  environmentOfGpus,
  isSoftwareDriver,
  softwareDriverVariables,
  usesSoftwareDriver,
  withDriverOf,
} from './software.ts';
export { listGpuProcesses, listGpus, NvmlError, type GpuOptions } from './devices.ts';
export {
  openDriver,
  type CheckpointDriver,
  type LockOptions,
  type OpenDriverOptions,
  type RestoreStepOptions,
} from './driver.ts';
export { DriverError, ProcessStateError } from './driver-error.ts';
export { driverRemedy, softcudaRemedy } from './library.ts';
export { listCudaProcesses, type CudaProcess } from './processes.ts';
export { parseDeviceMap, parseUuid, type DevicePair } from './uuid.ts';
export {
  StateWatcher,
  watchState,
  type StateChange,
  type StateEvents,
  type StateWatchOptions,
} from './watch.ts';
export { openProber, serviceComm, type Prober } from './probe.ts';
