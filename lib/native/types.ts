// SPDX-License-Identifier: MIT
/** What the addon tells about a process's memory. @module */

/** What a mapping is of; `device` is a file of a driver, as /dev/nvidia0. */
export type MemoryKind = 'privateAnonymous' | 'sharedAnonymous' | 'file' | 'device';

/** Mappings added up. */
export interface MemorySums {
  mappings: number;
  sizeBytes: number;
  /** In memory, hugetlbfs included. */
  residentBytes: number;
  /** Of the resident ones, in transparent huge pages or of hugetlbfs: copied faster. */
  hugePageBytes: number;
  swappedBytes: number;
}

/** One mapping. */
export interface MemoryMapping extends Omit<MemorySums, 'mappings' | 'sizeBytes'> {
  start: bigint;
  end: bigint;
  /** `rwxp` or `rwxs`, `-` for what is missing. */
  permissions: string;
  /** As the kernel writes it, `[heap]` too; empty for anonymous memory. */
  path: string;
  kind: MemoryKind;
}

/** Pages by their state, from /proc/PID/pagemap; one may be counted in several. */
export interface MemoryPages {
  presentBytes: number;
  swappedBytes: number;
  /** Of a file, or shared. */
  fileOrSharedBytes: number;
  /** Mapped by nobody else. */
  exclusiveBytes: number;
  /** Written to since /proc/PID/clear_refs was last used; 0 on a kernel without CONFIG_MEM_SOFT_DIRTY. */
  softDirtyBytes: number;
}
