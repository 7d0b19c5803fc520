// SPDX-License-Identifier: MIT
/**
 * The manifest of a GPU image, `cuda-<pid>.img`: from bytes to a checked value.
 * The layout is that of plugins-cuda/image/image.proto; docs/images.md has
 * every field.
 * @module
 */
import { crc32 } from 'node:zlib';
import { checkManifest } from './check.ts';
import { GpuImageError } from './error.ts';
import { decodeMessage, ProtobufError, type Message, type Table } from '../protobuf.ts';
import type { GpuManifest } from './types.ts';

const MAGIC = 'CCRCUIMG';
const PAGES_MAGIC = 'CCRPAGES';
const VERSION = 1;
const HEAD_BYTES = 24;

/** Flag of an allocation that the application made itself by cuMemCreate. */
const OWN_VMM = 1;

const device = {
  uuid: { number: 1, type: 'bytes' },
  name: { number: 2, type: 'text' },
} as const;

const allocation = {
  id: { number: 1, type: 'uint' },
  address: { number: 2, type: 'fixed64' },
  size: { number: 3, type: 'uint' },
  requested: { number: 4, type: 'uint' },
  device: { number: 5, type: 'uint' },
  flags: { number: 6, type: 'uint' },
} as const;

const chunk = {
  allocation: { number: 1, type: 'uint' },
  position: { number: 2, type: 'uint' },
  length: { number: 3, type: 'uint' },
  stripe: { number: 4, type: 'uint' },
  offset: { number: 5, type: 'uint' },
  xxh3: { number: 6, type: 'fixed64' },
  zero: { number: 7, type: 'bool' },
} as const;

const manifest = {
  id: { number: 1, type: 'bytes' },
  created: { number: 2, type: 'fixed64' },
  tool: { number: 3, type: 'text' },
  pid: { number: 4, type: 'uint' },
  driver: { number: 5, type: 'uint' },
  chunkSize: { number: 6, type: 'uint' },
  devices: { number: 7, type: device, repeated: true },
  allocations: { number: 8, type: allocation, repeated: true },
  chunks: { number: 9, type: chunk, repeated: true },
  stripeSizes: { number: 10, type: 'uint', repeated: true },
} as const;

/** The head of a manifest of either kind; returns the message behind it. */
export function readHead(bytes: Buffer, name: string, kind: 'GPU' | 'page' = 'GPU'): Buffer {
  const wanted = kind === 'GPU' ? MAGIC : PAGES_MAGIC;
  const magic = bytes.subarray(0, wanted.length).toString('latin1');
  if (magic !== wanted.slice(0, bytes.length) || bytes.length === 0) {
    throw new GpuImageError(`${name}: magic: not a ${kind} image of criu-cuda`);
  }
  if (bytes.length < HEAD_BYTES) {
    throw new GpuImageError(`${name}: cut short: ${bytes.length} bytes, the head has ${HEAD_BYTES}`);
  }
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) {
    throw new GpuImageError(`${name}: version is ${version}; this program reads ${VERSION}`);
  }
  const expected = bytes.readBigUInt64LE(16) + BigInt(HEAD_BYTES);
  if (expected !== BigInt(bytes.length)) {
    throw new GpuImageError(
      `${name}: length: the file has ${bytes.length} bytes, its head says ${expected.toString()}`,
    );
  }
  if (crc32(bytes.subarray(HEAD_BYTES)) !== bytes.readUInt32LE(12)) {
    throw new GpuImageError(`${name}: crc: the file is damaged`);
  }
  return bytes.subarray(HEAD_BYTES);
}

function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return `GPU-${parts.join('-')}`;
}

/** One message; `name` is what errors call its file. */
export function decodeManifest<T extends Table>(message: Buffer, table: T, name: string): Message<T> {
  try {
    return decodeMessage(message, table);
  } catch (error) {
    if (error instanceof ProtobufError) throw new GpuImageError(`${name}: message: ${error.message}`, error);
    throw error;
  }
}

/**
 * Reads a manifest; `name` is what error messages call it.
 * @throws {@link GpuImageError} naming the field that is wrong
 */
export function parseManifest(bytes: Buffer, name: string): GpuManifest {
  const message = readHead(bytes, name);
  const { id, created, devices, allocations, ...rest } = decodeManifest(message, manifest, name);
  if (id.length !== 16) throw new GpuImageError(`${name}: id has ${id.length} bytes, not 16`);
  const parsed: GpuManifest = {
    version: VERSION,
    id: Buffer.from(id).toString('hex'),
    created: new Date(Number(created / 1_000_000n)),
    ...rest,
    devices: devices.map((entry, index) => {
      if (entry.uuid.length !== 16) {
        throw new GpuImageError(`${name}: devices[${index}].uuid has ${entry.uuid.length} bytes, not 16`);
      }
      return { uuid: formatUuid(entry.uuid), name: entry.name };
    }),
    allocations: allocations.map(({ flags, ...entry }) => ({ ...entry, isOwnVmm: (flags & OWN_VMM) !== 0 })),
  };
  checkManifest(parsed, name);
  return parsed;
}
