// SPDX-License-Identifier: MIT
/**
 * Native code: the addon, and foreign function calls through koffi.
 * @module
 */
export { isAddonFailure, loadAddon } from './addon.ts';
export type { Addon, AddonDevice, AddonProcess, CancelHandle, DriverHandle } from './addon.ts';
export { bind, requiredFunctions, type Answer, type Bindings, type GpuPair } from './koffi-driver.ts';
export {
  getChildSubreaper,
  onReadable,
  pidfdOpen,
  setChildSubreaper,
  SystemCallError,
  waitpidNoHang,
} from './libc.ts';
export type { MemoryKind, MemoryMapping, MemoryPages, MemorySums } from './types.ts';
