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
  type MemoryKind,
  type MemoryMap,
  type MemoryMapOptions,
  type MemoryMapping,
  type MemoryOptions,
  type MemoryPages,
  type MemorySums,
} from './memory.ts';
export {
  StateWatcher,
  watchState,
  type StateChange,
  type StateEvents,
  type StateWatchOptions,
} from './watch.ts';
