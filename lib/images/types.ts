// SPDX-License-Identifier: MIT
/** GPU images and page files, as they are read. @module */

/** A GPU of the process that was dumped. */
export interface ImageGpu {
  /** As `nvidia-smi -L` prints it: `GPU-…`. */
  uuid: string;
  /** As CUDA names it. */
  name: string;
}

/** One allocation of device memory. */
export interface GpuAllocation {
  /** The interceptor's number. */
  id: number;
  /** Of its first mapping; 0 when it was not mapped. */
  address: bigint;
  /** Bytes that it takes. */
  size: number;
  /** Bytes the application asked for. */
  requested: number;
  /** Index into the devices. */
  device: number;
  /** The application made it by cuMemCreate; otherwise it stands for a cuMemAlloc. */
  isOwnVmm: boolean;
}

/** A piece of an allocation. One that is `zero` is not stored. */
export interface GpuChunk {
  /** Index into the allocations. */
  allocation: number;
  /** In the allocation. Bytes. */
  position: number;
  /** Bytes. */
  length: number;
  /** Index of the stripe that has it. */
  stripe: number;
  /** In the stripe. Bytes. */
  offset: number;
  /** Checksum of its bytes. */
  xxh3: bigint;
  /** All its bytes are zero, and it is not stored. */
  zero: boolean;
}

/** What the manifest of a GPU image says. */
export interface GpuManifest {
  /** Version of the format. */
  version: number;
  /** 32 hexadecimal digits. */
  id: string;
  /** When it was dumped. */
  created: Date;
  /** Version of the writer. */
  tool: string;
  /** The process that was dumped. */
  pid: number;
  /** As cuDriverGetVersion gives it: 13000 is 13.0. */
  driver: number;
  /** Bytes of the largest chunk. */
  chunkSize: number;
  /** The GPUs of the process. */
  devices: ImageGpu[];
  /** In the order in which the process made them. */
  allocations: GpuAllocation[];
  /** By allocation, then position, without gaps. */
  chunks: GpuChunk[];
  /** Bytes of each stripe. */
  stripeSizes: number[];
}

/** A piece of a process's memory, and where the page file has it. */
export interface PageMapping {
  /** Where the process has it. */
  address: bigint;
  /** Bytes. */
  size: number;
  /** In the page file. Bytes. */
  offset: number;
  /** Memory that the driver allocated for its checkpoint. */
  drivers: boolean;
  /** Shared anonymous memory. */
  shared: boolean;
}

/** The page file of one process. */
export interface PageImage {
  /** File name of the manifest. */
  name: string;
  /** File name of the page file. */
  file: string;
  /** The process that was dumped. */
  pid: number;
  /** When it was dumped. */
  created: Date;
  /** Version of the writer. */
  tool: string;
  /** Where the page file was at the dump, and CRIU looks for it; empty for a mount namespace of its own. */
  directory: string;
  /** Of the page file, holes included. */
  size: number;
  /** Bytes of it that hold something. */
  stored: number;
  /** What of the process is in the file, by address. */
  mappings: PageMapping[];
}
