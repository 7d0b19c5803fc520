// SPDX-License-Identifier: MIT
/**
 * The only way to native code: libcuda, NVML, system calls and fast readers of /proc, through the addon or koffi.
 * Importing it loads neither.
 * @module
 */
export { MIN_DRIVER_VERSION, processStates, STORAGE_DRIVER_VERSION, type ProcessState } from './abi.ts';
export { nativeBackend } from './backend.ts';
export { isNativeFailure, SystemCallError } from './errors.ts';
export { fileStatuses } from './file-status.ts';
export {
  dataRanges,
  execv,
  getChildSubreaper,
  onReadable,
  pidfdOpen,
  setChildSubreaper,
  tryLock,
  waitpidNoHang,
} from './libc.ts';
export { nvmlCandidates, nvmlName } from './libraries.ts';
export type {
  Backend,
  BackendName,
  FileStatus,
  Gpu,
  GpuProcess,
  GpuReport,
  MemoryCalls,
  MemoryKind,
  MemoryMap,
  MemoryMapping,
  MemoryPages,
  MemorySums,
  OpenedDriver,
  Probe,
  ProbeHints,
} from './types.ts';
