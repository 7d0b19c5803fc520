// SPDX-License-Identifier: MIT
/**
 * The contents of GPU images and page files.
 * @module
 */

/** A GPU of the process that was dumped. */
export interface ImageGpu {
  /** As `nvidia-smi -L` prints it: `GPU-…`. */
  uuid: string;
  /** Name from the CUDA driver. */
  name: string;
}

/** One allocation of device memory. */
export interface GpuAllocation {
  /** Number that the interceptor gave it. */
  id: number;
  /** Address of its first mapping; 0 if it was not mapped. */
  address: bigint;
  /** Size in bytes. */
  size: number;
  /** Bytes the application asked for. */
  requested: number;
  /** Index into `devices`. */
  device: number;
  /** Whether the application made it with cuMemCreate; otherwise it replaces a cuMemAlloc. */
  isOwnVmm: boolean;
}

/** A piece of an allocation. A piece that is `zero` is not stored. */
export interface GpuChunk {
  /** Index into `allocations`. */
  allocation: number;
  /** Offset in the allocation, in bytes. */
  position: number;
  /** Length in bytes. */
  length: number;
  /** Index of the stripe that contains it. */
  stripe: number;
  /** Offset in the stripe, in bytes. */
  offset: number;
  /** Checksum of its bytes. */
  xxh3: bigint;
  /** All its bytes are zero, and it is not stored. */
  zero: boolean;
}

/** The manifest of a GPU image. */
export interface GpuManifest {
  /** Version of the format. */
  version: number;
  /** The driver handed the memory over: one allocation for each GPU, in an order that only the driver knows. */
  isDriver: boolean;
  /** 32 hexadecimal digits. */
  id: string;
  /** The checkpoint it belongs to, 32 hexadecimal digits; null in an image of 0.2.0 or of a tool. */
  checkpoint: string | null;
  /** When it was dumped. */
  created: Date;
  /** Version of the program that wrote it. */
  tool: string;
  /** Pid of the process that was dumped. */
  pid: number;
  /** Version of the CUDA driver API: 13000 is 13.0. */
  driver: number;
  /** What the interceptor in the process speaks; {@link protocolRefusal} says whether this version understands it. */
  protocol: number;
  /** Length of the largest chunk, in bytes. */
  chunkSize: number;
  /** The GPUs of the process. */
  devices: ImageGpu[];
  /** In the order in which the process made them. */
  allocations: GpuAllocation[];
  /** Sorted by allocation and position, without gaps. */
  chunks: GpuChunk[];
  /** Size of each stripe, in bytes. */
  stripeSizes: number[];
}

/** A range of a process's memory, and its place in the page file. */
export interface PageMapping {
  /** Address in the process. */
  address: bigint;
  /** Size in bytes. */
  size: number;
  /** Offset in the page file, in bytes. */
  offset: number;
  /** Whether the driver allocated it for its checkpoint. */
  drivers: boolean;
  /** Whether it is shared anonymous memory. */
  shared: boolean;
}

/** A mapping of the process whose bytes are only in the page file: CRIU's images have it without pages. */
export interface EmptiedMapping {
  /** Address in the process. */
  address: bigint;
  /** Size in bytes. */
  size: number;
  /** Whether all access to it was taken away until it is filled. */
  hidden: boolean;
}

/** The page file of one process. */
export interface PageImage {
  /** File name of the manifest. */
  name: string;
  /** File name of the page file. */
  file: string;
  /** The checkpoint it belongs to, 32 hexadecimal digits; null in an image of 0.2.0. */
  checkpoint: string | null;
  /** Pid of the process that was dumped. */
  pid: number;
  /** When it was dumped. */
  created: Date;
  /** Version of the program that wrote it. */
  tool: string;
  /** Path of the page file at the dump, where CRIU looks for it; empty if the process had its own mount namespace. */
  directory: string;
  /** Size of the page file, holes included. Bytes. */
  size: number;
  /** Bytes of it that are not holes. */
  stored: number;
  /** The memory ranges in the file, sorted by address. */
  mappings: PageMapping[];
  /** By address. Images of version 0.2.0 have none: there the process maps the page file. */
  emptied: EmptiedMapping[];
}

/** What one process has in a checkpoint. */
export interface CheckpointMember {
  /** Pid in the names of its files. */
  pid: number;
  /** Whether it has a GPU image. */
  gpu: boolean;
  /** Whether it has host memory outside of CRIU's images. */
  host: boolean;
}

/** An open device file of the driver, which a restore opens again: inherited from a parent process, or NVML's. */
export interface DeviceFile {
  /** CRIU's id of the open file, which descriptors of several processes may share. */
  id: number;
  /** As the process saw it. */
  path: string;
  /** Flags of open(2). */
  flags: number;
  /** UUID of the GPU that the device is for; null if it is not that of one GPU. */
  gpu: string | null;
}

/** Which files of a directory belong together. */
export interface CheckpointIndex {
  /** The checkpoint, 32 hexadecimal digits. */
  id: string;
  /** When the index was written last. */
  created: Date;
  /** Version of the program that wrote it. */
  tool: string;
  /** Sorted by pid. */
  members: CheckpointMember[];
  /** Open device files of the driver that belong to no CUDA context. */
  deviceFiles: DeviceFile[];
}
