// SPDX-License-Identifier: MIT
/**
 * Reads the manifest of a GPU image, `cuda-<pid>.img`, and checks it. plugins-cuda/image/image.proto defines the
 * layout; docs/images.md describes every field.
 * @module
 */
import { crc32 } from 'node:zlib';
import { checkManifest } from './check.ts';
import { GpuImageError } from './error.ts';
import { ManifestSchema, type Allocation, type Chunk, type Device } from './gen/image_pb.ts';
import { decodeMessage, encodeMessage, ProtobufError, toNumber, type Schema } from '../protobuf.ts';
import { protocolBeforeTheField } from './protocol.ts';
import type { GpuAllocation, GpuChunk, ImageGpu, GpuManifest } from './types.ts';

const MAGICS = { GPU: 'CCRCUIMG', page: 'CCRPAGES', index: 'CCRINDEX' } as const;
const VERSION = 1;
/** Of a GPU image with memory that the driver hands over. */
const DRIVER_VERSION = 2;
const HEAD_BYTES = 24;
const MAX_BYTES = 64 * 2 ** 20;

/** Flag of an allocation that the application made with cuMemCreate. */
const OWN_VMM = 1;

/** Checks the header of a manifest of any kind; returns the message after it. */
export function readHead(bytes: Buffer, name: string, kind: keyof typeof MAGICS = 'GPU'): Buffer {
  if (bytes.length > MAX_BYTES) {
    throw new GpuImageError(`${name}: length is ${bytes.length}; at most ${MAX_BYTES} is accepted`);
  }
  const wanted = MAGICS[kind];
  const magic = bytes.subarray(0, wanted.length).toString('latin1');
  if (magic !== wanted.slice(0, bytes.length) || bytes.length === 0) {
    throw new GpuImageError(`${name}: not a ${kind} image of criu-cuda: wrong magic`);
  }
  if (bytes.length < HEAD_BYTES) {
    throw new GpuImageError(
      `${name}: truncated: the file has ${bytes.length} bytes, its head alone needs ${HEAD_BYTES}`,
    );
  }
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION && !(kind === 'GPU' && version === DRIVER_VERSION)) {
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

/** An id as hexadecimal digits; null if it is absent. */
export const formatId = (id: Uint8Array): string | null =>
  id.length === 0 ? null : Buffer.from(id).toString('hex');

export function formatUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  return `GPU-${parts.join('-')}`;
}

/**
 * Reads one message and converts it; `name` is the file name for errors.
 * @throws {@link GpuImageError} the bytes are not such a message, or `convert` refused it
 */
export function decodeManifest<Message extends object, Value>(
  bytes: Buffer,
  schema: Schema<Message>,
  name: string,
  convert: (message: Message) => Value,
  keepUnknown = false,
): Value {
  try {
    return convert(decodeMessage(schema, bytes, keepUnknown));
  } catch (error) {
    if (error instanceof ProtobufError) throw new GpuImageError(`${name}: message: ${error.message}`, error);
    throw error;
  }
}

/** Converts nanoseconds since 1970. */
export const dateOf = (nanoseconds: bigint): Date => new Date(Number(nanoseconds / 1_000_000n));

function deviceOf({ uuid, name: model }: Device, index: number, name: string): ImageGpu {
  if (uuid.length !== 16) {
    throw new GpuImageError(`${name}: devices[${index}].uuid has ${uuid.length} bytes, not 16`);
  }
  return { uuid: formatUuid(uuid), name: model };
}

const allocationOf = ({ id, address, size, requested, device, flags }: Allocation): GpuAllocation => ({
  id: toNumber(id),
  address,
  size: toNumber(size),
  requested: toNumber(requested),
  device,
  isOwnVmm: (flags & OWN_VMM) !== 0,
});

const chunkOf = ({ allocation, position, length, stripe, offset, xxh3, zero }: Chunk): GpuChunk => ({
  allocation,
  position: toNumber(position),
  length: toNumber(length),
  stripe,
  offset: toNumber(offset),
  xxh3,
  zero,
});

/**
 * Reads a manifest; `name` is the file name for errors.
 * @throws {@link GpuImageError} naming the field that is wrong
 */
export function parseManifest(bytes: Buffer, name: string): GpuManifest {
  const version = bytes.length < HEAD_BYTES ? VERSION : bytes.readUInt32LE(8);
  const parsed = decodeManifest(readHead(bytes, name), ManifestSchema, name, (manifest): GpuManifest => {
    const { id, created, tool, pid, driver } = manifest;
    if (id.length !== 16) throw new GpuImageError(`${name}: id has ${id.length} bytes, not 16`);
    return {
      version,
      isDriver: version === DRIVER_VERSION,
      id: Buffer.from(id).toString('hex'),
      checkpoint: formatId(manifest.checkpoint),
      created: dateOf(created),
      tool,
      pid,
      driver,
      protocol: manifest.protocol === 0 ? protocolBeforeTheField : manifest.protocol,
      chunkSize: toNumber(manifest.chunkSize),
      devices: manifest.devices.map((device, index) => deviceOf(device, index, name)),
      allocations: manifest.allocations.map(allocationOf),
      chunks: manifest.chunks.map(chunkOf),
      stripeSizes: manifest.stripeSizes.map(toNumber),
    };
  });
  checkManifest(parsed, name);
  return parsed;
}

/**
 * Reads a manifest to change it; fields of later versions are kept.
 * @throws {@link GpuImageError} the file is another one
 */
export function decodeRawManifest<Message extends object>(
  bytes: Buffer,
  name: string,
  kind: keyof typeof MAGICS,
  schema: Schema<Message>,
): { message: Message; version: number } {
  const body = readHead(bytes, name, kind);
  const message = decodeManifest(body, schema, name, (manifest) => manifest, true);
  return { message, version: bytes.readUInt32LE(8) };
}

/** A manifest with its head, as it is in a file. */
export function encodeManifest<Message extends object>(
  message: Message,
  version: number,
  kind: keyof typeof MAGICS,
  schema: Schema<Message>,
): Buffer {
  const body = encodeMessage(schema, message);
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(MAGICS[kind], 'latin1');
  head.writeUInt32LE(version, 8);
  head.writeUInt32LE(crc32(body), 12);
  head.writeBigUInt64LE(BigInt(body.length), 16);
  return Buffer.concat([head, body]);
}
