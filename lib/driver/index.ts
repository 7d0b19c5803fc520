// SPDX-License-Identifier: MIT
/**
 * The CUDA driver's checkpoint API.
 * @module
 */
export { abortable } from './abortable.ts';
export { type Answer, type Bindings, type GpuPair } from './bindings.ts';
export { chooseDriver, type DriverChoice } from './choose.ts';
export {
  createDriver,
  driverCandidates,
  INSTALL_REMEDY,
  MIN_DRIVER_VERSION,
  openDriver,
  type CheckpointDriver,
  type LockOptions,
  type ProcessState,
  type RestoreStepOptions,
} from './driver.ts';
export { DriverError, ProcessStateError } from './error.ts';
export { parseDeviceMap, parseUuid, type DevicePair } from './uuid.ts';
