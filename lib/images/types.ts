// SPDX-License-Identifier: MIT
/** GPU images and page files, as they are read. @module */

export interface ImageGpu {
  /** As `nvidia-smi -L` prints it: `GPU-…`. */
  uuid: string;
  name: string;
}

export interface GpuAllocation {
  /** The interceptor's number. */
  id: number;
  /** Of its first mapping; 0 when it was not mapped. */
  address: bigint;
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
  length: number;
  stripe: number;
  /** In the stripe. Bytes. */
  offset: number;
  xxh3: bigint;
  zero: boolean;
}

export interface GpuManifest {
  version: number;
  /** 32 hexadecimal digits. */
  id: string;
  created: Date;
  /** Version of the writer. */
  tool: string;
  pid: number;
  /** As cuDriverGetVersion gives it: 13000 is 13.0. */
  driver: number;
  chunkSize: number;
  devices: ImageGpu[];
  allocations: GpuAllocation[];
  /** By allocation, then position, without gaps. */
  chunks: GpuChunk[];
  stripeSizes: number[];
}

/** A piece of a process's memory, and where the page file has it. */
export interface PageMapping {
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

export interface PageImage {
  /** File name of the manifest. */
  name: string;
  /** File name of the page file. */
  file: string;
  pid: number;
  created: Date;
  /** Version of the writer. */
  tool: string;
  /** Where the page file was at the dump, and CRIU looks for it; empty for a mount namespace of its own. */
  directory: string;
  /** Of the page file, holes included. */
  size: number;
  /** Bytes of it that hold something. */
  stored: number;
  mappings: PageMapping[];
}
