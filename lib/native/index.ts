// SPDX-License-Identifier: MIT
/**
 * The addon: GPUs, CUDA processes and their states without ever blocking the event loop.
 * @module
 */
export type { AddonDevice } from './addon.ts';
export { listCudaProcesses, type CudaProcess } from './cuda-processes.ts';
export { openNativeDriver } from './driver.ts';
export {
  listGpuProcesses,
  listGpus,
  NvmlError,
  type Gpu,
  type GpuOptions,
  type GpuProcess,
  type GpuReport,
} from './gpu.ts';
export {
  readMemoryMap,
  readMemoryPages,
  type MemoryMap,
  type MemoryMapOptions,
  type MemoryOptions,
} from './memory.ts';
export type { MemoryKind, MemoryMapping, MemoryPages, MemorySums } from './types.ts';
export {
  StateWatcher,
  watchState,
  type StateChange,
  type StateEvents,
  type StateWatchOptions,
} from './watch.ts';
