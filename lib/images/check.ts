// SPDX-License-Identifier: MIT
/**
 * The rules for manifests, the same as those of the C reader. The chunks cover every allocation exactly once, and each
 * stored chunk has its own place in a stripe. The mappings of a page file lie inside it and do not overlap in memory.
 * @module
 */
import { GpuImageError } from './error.ts';
import type { GpuChunk, GpuManifest, PageMapping } from './types.ts';

const ALIGN = 4096;
const MAX_CHUNK_BYTES = 512 * 2 ** 20;
const MAX_BYTES = 2 ** 48;
const MAX_ADDRESS = 2n ** 64n - 1n;

class Checker {
  private readonly manifest: GpuManifest;
  private readonly name: string;

  constructor(manifest: GpuManifest, name: string) {
    this.manifest = manifest;
    this.name = name;
  }

  private bad(what: string): never {
    throw new GpuImageError(`${this.name}: ${what}`);
  }

  numbers(): void {
    const { pid, chunkSize, stripeSizes } = this.manifest;
    if (pid === 0) this.bad('pid is 0');
    if (chunkSize === 0 || chunkSize % ALIGN !== 0 || chunkSize > MAX_CHUNK_BYTES) {
      this.bad(`chunk_size is ${chunkSize}`);
    }
    for (const [index, size] of stripeSizes.entries()) {
      if (size === 0 || size % ALIGN !== 0 || size > MAX_BYTES) this.bad(`stripe_sizes[${index}] is ${size}`);
    }
  }

  allocations(): void {
    const { allocations, devices } = this.manifest;
    for (const [index, entry] of allocations.entries()) {
      if (entry.size === 0 || entry.size > MAX_BYTES) this.bad(`allocations[${index}].size is ${entry.size}`);
      if (entry.requested > entry.size) {
        this.bad(`allocations[${index}].requested is ${entry.requested} of ${entry.size} bytes`);
      }
      if (entry.device >= devices.length) {
        this.bad(`allocations[${index}].device is ${entry.device} of ${devices.length} devices`);
      }
    }
  }

  coverage(): void {
    const { allocations, chunks, chunkSize } = this.manifest;
    let current = 0;
    let end = 0;
    for (const [index, chunk] of chunks.entries()) {
      if (end === allocations[current]?.size) {
        current += 1;
        end = 0;
      }
      const size = allocations[current]?.size ?? 0;
      if (chunk.allocation !== current || current >= allocations.length) {
        this.bad(
          `chunks[${index}].allocation is ${chunk.allocation}; ${current} is covered up to ${end} of ${size}`,
        );
      }
      if (chunk.position !== end) this.bad(`chunks[${index}].position is ${chunk.position}, not ${end}`);
      if (chunk.length === 0 || chunk.length > chunkSize || end + chunk.length > size) {
        this.bad(`chunks[${index}].length is ${chunk.length} at ${end} of ${size} bytes`);
      }
      this.place(chunk, index);
      end += chunk.length;
    }
    if (end === allocations[current]?.size) current += 1;
    if (current < allocations.length)
      this.bad(`chunks: allocation ${current} is covered only up to ${end} bytes`);
  }

  private place(chunk: GpuChunk, index: number): void {
    if (chunk.zero) {
      const isPlaced = chunk.stripe !== 0 || chunk.offset !== 0 || chunk.xxh3 !== 0n;
      if (isPlaced) this.bad(`chunks[${index}].zero is set, but the chunk has a place in a stripe`);
      return;
    }
    const size = this.manifest.stripeSizes[chunk.stripe];
    if (size === undefined) this.bad(`chunks[${index}].stripe is ${chunk.stripe}`);
    if (chunk.offset % ALIGN !== 0 || chunk.offset + chunk.length > size) {
      this.bad(`chunks[${index}].offset is ${chunk.offset} in stripe ${chunk.stripe} of ${size} bytes`);
    }
  }

  sharing(): void {
    const stored = [...this.manifest.chunks.entries()].filter(([, chunk]) => !chunk.zero);
    stored.sort(([, a], [, b]) => a.stripe - b.stripe || a.offset - b.offset);
    let last: GpuChunk | undefined;
    for (const [index, chunk] of stored) {
      if (last?.stripe === chunk.stripe && chunk.offset < last.offset + last.length) {
        this.bad(`chunks[${index}].offset is ${chunk.offset} in stripe ${chunk.stripe}: an overlap`);
      }
      last = chunk;
    }
  }
}

/** Checks the manifest of a GPU image. @throws {@link GpuImageError} naming the first field that breaks a rule */
export function checkManifest(manifest: GpuManifest, name: string): void {
  const checker = new Checker(manifest, name);
  checker.numbers();
  checker.allocations();
  checker.coverage();
  checker.sharing();
}

/** Checks the manifest of a page file. @throws {@link GpuImageError} naming the first field that breaks a rule */
export function checkPages(
  pages: { size: number; stored: number; mappings: readonly PageMapping[] },
  name: string,
): void {
  const bad = (what: string): never => {
    throw new GpuImageError(`${name}: ${what}`);
  };
  const { size, stored, mappings } = pages;
  if (size === 0 || size % ALIGN !== 0 || size > MAX_BYTES) bad(`size is ${size}`);
  if (stored > size) bad(`stored is ${stored} of ${size} bytes`);
  let end = 0n;
  for (const [index, mapping] of mappings.entries()) {
    const { address, offset } = mapping;
    if (mapping.size === 0 || mapping.size % ALIGN !== 0 || mapping.size > size) {
      bad(`mappings[${index}].size is ${mapping.size}`);
    }
    if (offset % ALIGN !== 0 || offset > size - mapping.size) bad(`mappings[${index}].offset is ${offset}`);
    const isApart = address >= end && address <= MAX_ADDRESS - BigInt(mapping.size);
    if (address % BigInt(ALIGN) !== 0n || !isApart) {
      bad(`mappings[${index}].address is ${address.toString()}`);
    }
    end = address + BigInt(mapping.size);
  }
}
