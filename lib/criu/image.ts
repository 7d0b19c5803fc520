// SPDX-License-Identifier: MIT
/**
 * Reads CRIU's small image files: two magic numbers, then messages with a
 * 32-bit length in front. The messages are protobuf; the few that are needed
 * have varint fields and nested messages only.
 * @module
 */
import { readFileSync } from 'node:fs';
import { ToolkitError } from '../errors.ts';

const IMG_COMMON_MAGIC = 0x54564319;
const IMG_SERVICE_MAGIC = 0x55105940;

/** The second magic number: what the file is about. */
export const imageMagic = { inventory: 0x58313116, pstree: 0x50273030, stats: 0x57093306 } as const;
export type ImageKind = keyof typeof imageMagic;

/** Values by field number, in the order they came; nested messages are bytes. */
export type Fields = ReadonlyMap<number, readonly (bigint | Uint8Array)[]>;

export class ImageError extends ToolkitError {
  constructor(what: string) {
    super('ERR_CRIU_IMAGE', what, { hint: 'the image is damaged, or of another version of CRIU' });
  }
}

interface Cursor {
  bytes: Uint8Array;
  at: number;
}

function readVarint(cursor: Cursor): bigint {
  let value = 0n;
  for (let shift = 0n; shift < 70n; shift += 7n) {
    const byte = cursor.bytes[cursor.at];
    if (byte === undefined) throw new ImageError('a number ends before its last byte');
    cursor.at += 1;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new ImageError('a number is longer than 64 bits');
}

function readBytes(cursor: Cursor, length: number): Uint8Array {
  const end = cursor.at + length;
  if (end > cursor.bytes.length) throw new ImageError(`a field of ${length} bytes ends after the message`);
  const bytes = cursor.bytes.subarray(cursor.at, end);
  cursor.at = end;
  return bytes;
}

function readValue(cursor: Cursor, wireType: number): bigint | Uint8Array {
  switch (wireType) {
    case 0:
      return readVarint(cursor);
    case 1:
      return readBytes(cursor, 8);
    case 2:
      return readBytes(cursor, Number(readVarint(cursor)));
    case 5:
      return readBytes(cursor, 4);
    default:
      throw new ImageError(`a field has the unknown wire type ${wireType}`);
  }
}

/** Splits one protobuf message into its fields. */
export function decodeMessage(bytes: Uint8Array): Fields {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  const cursor = { bytes, at: 0 };
  while (cursor.at < bytes.length) {
    const tag = Number(readVarint(cursor));
    const value = readValue(cursor, tag & 7);
    const number = tag >>> 3;
    const known = fields.get(number);
    if (known) known.push(value);
    else fields.set(number, [value]);
  }
  return fields;
}

/** The last value of a number field, as protobuf has it; `undefined` when absent. */
export function numberField(fields: Fields, number: number): number | undefined {
  const value = fields.get(number)?.at(-1);
  return typeof value === 'bigint' ? Number(value) : undefined;
}

export function messageField(fields: Fields, number: number): Fields | undefined {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? decodeMessage(value) : undefined;
}

/** All texts of a repeated field. */
export function textFields(fields: Fields, number: number): string[] {
  return (fields.get(number) ?? []).flatMap((value) =>
    value instanceof Uint8Array ? [Buffer.from(value).toString('utf8')] : [],
  );
}

/** All numbers of a repeated field, packed or not. */
export function numberFields(fields: Fields, number: number): number[] {
  return (fields.get(number) ?? []).flatMap((value) => {
    if (typeof value === 'bigint') return [Number(value)];
    const cursor = { bytes: value, at: 0 };
    const packed: number[] = [];
    while (cursor.at < value.length) packed.push(Number(readVarint(cursor)));
    return packed;
  });
}

/** The inventory has its own magic number only; every other image has a common one before it. */
function headBytes(bytes: Buffer, kind: ImageKind): number {
  const magic = imageMagic[kind];
  const [first, second] = bytes.length < 8 ? [] : [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  if (kind === 'inventory' && first === magic) return 4;
  if ((first === IMG_COMMON_MAGIC || first === IMG_SERVICE_MAGIC) && second === magic) return 8;
  throw new ImageError(`no ${kind} image`);
}

/** Every message of an image file. Throws {@link ImageError} when it is not an image of this kind. */
export function decodeImage(bytes: Buffer, kind: ImageKind): Fields[] {
  const messages: Fields[] = [];
  let at = headBytes(bytes, kind);
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new ImageError(`${kind} image: the last length is cut off`);
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length) throw new ImageError(`${kind} image: the last message is cut off`);
    messages.push(decodeMessage(bytes.subarray(at + 4, end)));
    at = end;
  }
  return messages;
}

/** `undefined` when the file, or its directory, does not exist. */
export function readImage(path: string, kind: ImageKind): Fields[] | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code)))
      return undefined;
    throw error;
  }
  try {
    return decodeImage(bytes, kind);
  } catch (error) {
    if (error instanceof ImageError) throw new ImageError(`${path}: ${error.message}`);
    throw error;
  }
}
