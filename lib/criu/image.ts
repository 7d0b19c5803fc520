// SPDX-License-Identifier: MIT
/**
 * Reads CRIU's small image files: two magic numbers, then protobuf messages
 * with a 32-bit length in front.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { isErrno } from '../errno.ts';
import { CodedError } from '../errors.ts';
import { decodeMessage, ProtobufError } from '../protobuf.ts';

const IMG_COMMON_MAGIC = 0x54564319;
const IMG_SERVICE_MAGIC = 0x55105940;

/** The second magic number: what the file is about. */
export const imageMagic = { inventory: 0x58313116, pstree: 0x50273030, stats: 0x57093306 } as const;
export type ImageKind = keyof typeof imageMagic;

/** An image of CRIU is damaged, or of another version. */
export class CriuImageError extends CodedError<'ERR_CRIU_IMAGE'> {
  constructor(what: string) {
    super('ERR_CRIU_IMAGE', what, { hint: 'the image is damaged, or of another version of CRIU' });
  }
}

/** The inventory has its own magic number only; every other image has a common one before it. */
function headBytes(bytes: Buffer, kind: ImageKind): number {
  const magic = imageMagic[kind];
  const [first, second] = bytes.length < 8 ? [] : [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  if (kind === 'inventory' && first === magic) return 4;
  if ((first === IMG_COMMON_MAGIC || first === IMG_SERVICE_MAGIC) && second === magic) return 8;
  throw new CriuImageError(`no ${kind} image`);
}

/** Every message of an image file. Throws {@link CriuImageError} when it is not an image of this kind. */
export function decodeImage<Desc extends DescMessage>(
  bytes: Buffer,
  kind: ImageKind,
  schema: Desc,
): MessageShape<Desc>[] {
  const messages: MessageShape<Desc>[] = [];
  let at = headBytes(bytes, kind);
  while (at < bytes.length) {
    if (at + 4 > bytes.length) throw new CriuImageError(`${kind} image: the last length is cut off`);
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length) throw new CriuImageError(`${kind} image: the last message is cut off`);
    messages.push(decodeMessage(schema, bytes.subarray(at + 4, end)));
    at = end;
  }
  return messages;
}

/** `undefined` when the file, or its directory, does not exist. */
export function readImage<Desc extends DescMessage>(
  path: string,
  kind: ImageKind,
  schema: Desc,
): MessageShape<Desc>[] | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  try {
    return decodeImage(bytes, kind, schema);
  } catch (error) {
    if (error instanceof CriuImageError || error instanceof ProtobufError)
      throw new CriuImageError(`${path}: ${error.message}`);
    throw error;
  }
}
