// SPDX-License-Identifier: MIT
/**
 * What native code does for this library, whichever backend does it. Calls that may take long have a promise and run
 * off the event loop; none of them initializes CUDA.
 * @module
 */

/** `addon`: criu_cuda.node; `koffi`: foreign function calls from JavaScript. */
export type BackendName = 'addon' | 'koffi';

export const backendNames: readonly BackendName[] = ['addon', 'koffi'];

/** A CUresult, and the value that the call returned when it is 0. */
export interface Answer {
  result: number;
  value: number;
}

/** Two UUIDs of GPUs, 16 bytes each. */
export interface GpuPair {
  oldUuid: readonly number[];
  newUuid: readonly number[];
}

/** What {@link DriverCalls.probe} may take from an earlier one; 0 where nothing is known. */
export interface ProbeHints {
  /** Of the process that the rest is about. */
  startTime: number;
  restoreTid: number;
  /** -1: it has no service thread, none is searched for. */
  serviceTid: number;
}

/** One look at a process. */
export interface Probe extends ProbeHints {
  comm: string;
  /** State letter of its main thread, as in /proc/PID/stat. */
  mainState: string;
  /** CUresult of the call that failed; 0 when none did. */
  result: number;
  /** Index into `processStates`; -1: not asked, because the restore thread is stopped. */
  state: number;
  /** The interceptor holds CUDA calls back. */
  isGated: boolean;
}

/** The driver's checkpoint calls on one process. Numbers are CUresults. */
export interface DriverCalls {
  restoreThreadId(pid: number): Promise<Answer>;
  state(pid: number): Promise<Answer>;
  lock(pid: number, timeoutMs: number): Promise<number>;
  checkpoint(pid: number): Promise<number>;
  restore(pid: number, pairs: readonly GpuPair[]): Promise<number>;
  unlock(pid: number): Promise<number>;
  /** Only the addon has it: one look off the event loop. @returns `null` when there is no such process */
  probe?: (pid: number, hints: ProbeHints) => Promise<Probe | null>;
}

export interface OpenedDriver {
  /** The file that was opened. */
  path: string;
  /** As cuDriverGetVersion returns it: 1000 × major + 10 × minor. */
  version: number;
  calls: DriverCalls;
}

/** A GPU as NVML describes it; `null` is what the device does not report. */
export interface Gpu {
  /** NVML's number; CUDA may count otherwise. */
  index: number;
  /** `GPU-…`, as nvidia-smi prints it. */
  uuid: string;
  /** As NVML names it. */
  name: string;
  /** `domain:bus:device.function` in lower case, as in /sys/bus/pci/devices. */
  pciAddress: string | null;
  /** Device memory. */
  memory: {
    /** All of it. */
    totalBytes: number;
    /** Not in use. */
    freeBytes: number;
    /** In use, by processes and the driver. */
    usedBytes: number;
  } | null;
  /** PCIe generation and lanes now; an idle link may be slower than it can be. */
  linkGeneration: number | null;
  /** PCIe lanes now. */
  linkWidth: number | null;
  /** The highest PCIe generation. */
  maxLinkGeneration: number | null;
  /** The most PCIe lanes. */
  maxLinkWidth: number | null;
}

/** What NVML says about this machine. */
export interface GpuReport {
  /** The NVML library that answered. */
  library: string;
  /** `580.159.04` */
  driverVersion: string;
  /** As the driver reports it: 1000 × major + 10 × minor. */
  cudaVersion: number;
  /** In the order of NVML. */
  gpus: Gpu[];
}

/** A process with a CUDA context on a GPU; one that is checkpointed has none. */
export interface GpuProcess {
  /** In the PID namespace of the driver: inside a container it may be unknown. */
  pid: number;
  /** `GPU-…` */
  deviceUuid: string;
  /** Device memory it holds, bytes; `null` when the driver does not report it. */
  usedBytes: number | null;
  /** Of the MIG instance it runs in; `null` on a GPU that is not split. */
  gpuInstanceId: number | null;
  /** Of the compute instance in it; `null` as well. */
  computeInstanceId: number | null;
}

/** What a mapping is of; `device` is a file of a driver, as /dev/nvidia0. */
export type MemoryKind = 'privateAnonymous' | 'sharedAnonymous' | 'file' | 'device';

/** Mappings added up. */
export interface MemorySums {
  /** How many mappings there are. */
  mappings: number;
  /** Address space. */
  sizeBytes: number;
  /** In memory, hugetlbfs included. */
  residentBytes: number;
  /** Of the resident ones, in transparent huge pages or of hugetlbfs: copied faster. */
  hugePageBytes: number;
  /** On the swap device. */
  swappedBytes: number;
}

/** One mapping. */
export interface MemoryMapping extends Omit<MemorySums, 'mappings' | 'sizeBytes'> {
  /** First address. */
  start: bigint;
  /** The address after its last byte. */
  end: bigint;
  /** `rwxp` or `rwxs`, `-` for what is missing. */
  permissions: string;
  /** As the kernel writes it, `[heap]` too; empty for anonymous memory. */
  path: string;
  /** Kind of memory. */
  kind: MemoryKind;
}

/** Pages by their state, from /proc/PID/pagemap; one may be counted in more than one field. */
export interface MemoryPages {
  /** In memory. */
  presentBytes: number;
  /** On the swap device. */
  swappedBytes: number;
  /** Of a file, or shared. */
  fileOrSharedBytes: number;
  /** Mapped by no other process. */
  exclusiveBytes: number;
  /** Written to since /proc/PID/clear_refs was last used; 0 on a kernel without CONFIG_MEM_SOFT_DIRTY. */
  softDirtyBytes: number;
}

/** What a process has mapped, from /proc/PID/smaps. */
export interface MemoryMap extends MemorySums {
  /** Sums by kind of memory. */
  kinds: Record<MemoryKind, MemorySums>;
  /** The mappings with the most resident memory, largest first. */
  largest: MemoryMapping[];
}

/** Readers of the host memory of a process. They reject with a {@link NativeFailure} of kind `system`. */
export interface MemoryCalls {
  /** @param signal ends it early; what it then returns or throws is of no use */
  map(
    pid: number,
    largest: number,
    signal: AbortSignal | undefined,
  ): Promise<Omit<MemoryMap, keyof MemorySums>>;
  pages(pid: number, signal: AbortSignal | undefined): Promise<MemoryPages>;
}

/** The numbers of a path in {@link LibcCalls.fileStatus}, as Node's `Stats` has them. */
export const fileStatusFields = [
  'mode',
  'size',
  'dev',
  'ino',
  'nlink',
  'uid',
  'gid',
  'mtimeMs',
  'ctimeMs',
] as const;

/** What is at a path. */
export type FileStatus = Readonly<Record<(typeof fileStatusFields)[number], number>>;

/** System calls. All are short; a failed one returns -errno. */
export interface LibcCalls {
  /**
   * Only the addon has it: lstat of many paths.
   * @param paths each with a NUL behind it
   * @returns their numbers one after the other; all are 0 where nothing is
   */
  fileStatus?(paths: string): Float64Array;
  /** 1 when orphaned descendants become children of this process. */
  getChildSubreaper(): number;
  setChildSubreaper(on: boolean): number;
  /** @returns a close-on-exec descriptor that becomes readable when the process has ended */
  pidfdOpen(pid: number): number;
  /** flock without waiting; closing the descriptor unlocks. */
  flock(fd: number, exclusive: boolean): number;
  /** The next byte of a file's data, or of a hole; ENXIO behind the last one. Moves the descriptor's position. */
  seekData(fd: number, from: number, hole: boolean): number;
  /** waitpid with WNOHANG. `result`: the pid, or 0 while it runs; `value`: its wait status. */
  waitpid(pid: number): Answer;
  /** Calls back once when a descriptor becomes readable. @returns a function that stops waiting */
  onReadable(fd: number, callback: () => void): number | (() => void);
  /** This process becomes another program, which keeps stdin, stdout and stderr. @returns -errno, or not at all */
  execv(path: string, args: readonly string[]): number;
}

/** One way to native code. */
export interface Backend {
  readonly name: BackendName;
  readonly libc: LibcCalls;
  readonly memory: MemoryCalls;
  /** @param path a library, or empty for the usual search. Rejects with a {@link NativeFailure} of kind `open`. */
  openDriver(path: string): Promise<OpenedDriver>;
  /** Asks the first NVML of `libraries` that can be opened. Rejects with a {@link NativeFailure}, `open` or `nvml`. */
  listGpus(libraries: readonly string[]): Promise<GpuReport>;
  /** One row per process and GPU. Rejects as `listGpus` does. */
  listGpuProcesses(libraries: readonly string[]): Promise<GpuProcess[]>;
}

/** What an operation of a backend rejects with. */
export interface NativeFailure extends Error {
  /** `open`: a library is missing or too old; `nvml`: a call into NVML failed; `system`: a file could not be read. */
  kind: 'open' | 'nvml' | 'system';
  /** The function, or the file. */
  call?: string;
  /** The nvmlReturn_t, or errno. */
  result?: number;
}
