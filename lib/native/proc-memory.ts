// SPDX-License-Identifier: MIT
/**
 * Readers of /proc/PID/smaps and pagemap in JavaScript, for machines without the addon, whose process_memory.cc does
 * the same faster. Files are read off the event loop, in pieces.
 * @module
 */
import { readFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { nativeFailure } from './errors.ts';
import type { MemoryCalls, MemoryKind, MemoryMapping, MemoryPages, MemorySums } from './types.ts';

const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)$/;
const FIELD = /^(\w+): +(\d+) kB$/;
const resident = new Set(['Rss', 'Shared_Hugetlb', 'Private_Hugetlb']);
const huge = new Set([
  'AnonHugePages',
  'ShmemPmdMapped',
  'FilePmdMapped',
  'Shared_Hugetlb',
  'Private_Hugetlb',
]);

function kindOf(permissions: string, path: string): MemoryKind {
  if (permissions[3] === 's' && /^(?:\/dev\/zero \(deleted\)$|\/SYSV|\/memfd:)/.test(path)) {
    return 'sharedAnonymous';
  }
  if (/^\/dev\/(?!shm\/|zero)/.test(path)) return 'device';
  return path.startsWith('/') ? 'file' : 'privateAnonymous';
}

function addField(mapping: MemoryMapping, line: string): void {
  const [, name = '', kilobytes] = FIELD.exec(line) ?? [];
  const bytes = Number(kilobytes ?? 0) * 1024;
  if (resident.has(name)) mapping.residentBytes += bytes;
  if (huge.has(name)) mapping.hugePageBytes += bytes;
  if (name === 'Swap') mapping.swappedBytes += bytes;
}

/** Takes one line of smaps. */
function addLine(mappings: MemoryMapping[], line: string): void {
  const [, start, end, permissions, path = ''] = HEADER.exec(line) ?? [];
  if (start === undefined || end === undefined || permissions === undefined) {
    const last = mappings.at(-1);
    if (last) addField(last, line);
    return;
  }
  const kind = kindOf(permissions, path);
  const bounds = { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) };
  mappings.push({
    ...bounds,
    permissions,
    path,
    kind,
    residentBytes: 0,
    hugePageBytes: 0,
    swappedBytes: 0,
  });
}

/** Runs `read` on a file of /proc and closes it. @throws a NativeFailure of kind `system` */
async function withFile<T>(path: string, read: (file: FileHandle) => Promise<T>): Promise<T> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    return await read(file);
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    throw nativeFailure('system', path, path, -errno);
  } finally {
    await file?.close();
  }
}

const CHUNK_BYTES = 1 << 16;

async function readMappings(pid: number, signal: AbortSignal | undefined): Promise<MemoryMapping[]> {
  const mappings: MemoryMapping[] = [];
  await withFile(`/proc/${pid}/smaps`, async (file) => {
    const decoder = new TextDecoder();
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = '';
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
      if (bytesRead === 0) return;
      const lines = (rest + decoder.decode(chunk.subarray(0, bytesRead), { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) addLine(mappings, line);
    }
  });
  return mappings;
}

const kinds = ['privateAnonymous', 'sharedAnonymous', 'file', 'device'] as const satisfies MemoryKind[];

function sumsOf(mappings: readonly MemoryMapping[]): MemorySums {
  const sums = { mappings: 0, sizeBytes: 0, residentBytes: 0, hugePageBytes: 0, swappedBytes: 0 };
  for (const mapping of mappings) {
    sums.mappings += 1;
    sums.sizeBytes += Number(mapping.end - mapping.start);
    sums.residentBytes += mapping.residentBytes;
    sums.hugePageBytes += mapping.hugePageBytes;
    sums.swappedBytes += mapping.swappedBytes;
  }
  return sums;
}

const AT_PAGESZ = 6n;

/** The kernel's page size; from the vector of numbers that it starts each program with. */
function readPageBytes(): number {
  const words = new BigUint64Array(Uint8Array.from(readFileSync('/proc/self/auxv')).buffer);
  const key = words.findIndex((word, index) => index % 2 === 0 && word === AT_PAGESZ);
  return Number(words[key + 1] ?? 4096n);
}

const ENTRY_BYTES = 8;
const ENTRIES_AT_ONCE = 1 << 14;
/** Bits of the upper half of an entry (Documentation/admin-guide/mm/pagemap.rst of the kernel). */
const bits = {
  presentBytes: 1 << 31,
  swappedBytes: 1 << 30,
  fileOrSharedBytes: 1 << 29,
  exclusiveBytes: 1 << 24,
  softDirtyBytes: 1 << 23,
} as const satisfies Record<keyof MemoryPages, number>;
const fields = Object.entries(bits) as [keyof MemoryPages, number][];
const present = bits.presentBytes | bits.swappedBytes;

function addPages(pages: MemoryPages, pageBytes: number, entries: Buffer): void {
  for (let at = 0; at + ENTRY_BYTES <= entries.length; at += ENTRY_BYTES) {
    const upper = entries.readInt32LE(at + 4);
    if ((upper & present) === 0) continue;
    for (const [field, bit] of fields) if ((upper & bit) !== 0) pages[field] += pageBytes;
  }
}

async function countPages(
  file: FileHandle,
  mapping: MemoryMapping,
  pages: MemoryPages,
  pageBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const position = (address: bigint): number => Number(address / BigInt(pageBytes)) * ENTRY_BYTES;
  const end = position(mapping.end);
  const entries = Buffer.alloc(ENTRIES_AT_ONCE * ENTRY_BYTES);
  for (let at = position(mapping.start); at < end;) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(entries, 0, Math.min(entries.length, end - at), at);
    if (bytesRead === 0) return; // not part of what a process can map
    addPages(pages, pageBytes, entries.subarray(0, bytesRead));
    at += bytesRead;
  }
}

export const procMemory: MemoryCalls = {
  map: async (pid, largest, signal) => {
    const mappings = await readMappings(pid, signal);
    const sums = kinds.map((kind) => [kind, sumsOf(mappings.filter((one) => one.kind === kind))] as const);
    return {
      kinds: Object.fromEntries(sums) as Record<MemoryKind, MemorySums>,
      largest: mappings.sort((a, b) => b.residentBytes - a.residentBytes).slice(0, largest),
    };
  },
  pages: async (pid, signal) => {
    const mappings = await readMappings(pid, signal);
    const pages = {
      presentBytes: 0,
      swappedBytes: 0,
      fileOrSharedBytes: 0,
      exclusiveBytes: 0,
      softDirtyBytes: 0,
    };
    await withFile(`/proc/${pid}/pagemap`, async (file) => {
      // address space that is only reserved, as CUDA does by the terabyte, has no pages
      const mapped = mappings.filter((one) => one.residentBytes > 0 || one.swappedBytes > 0);
      const pageBytes = readPageBytes();
      for (const mapping of mapped) await countPages(file, mapping, pages, pageBytes, signal);
    });
    return pages;
  },
};
