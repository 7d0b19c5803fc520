// SPDX-License-Identifier: MIT
/**
 * Reads CRIU's small image files: two magic numbers, then protobuf messages, each preceded by its 32-bit length.
 * @module
 */
import { readFileSync } from 'node:fs';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { isErrno } from '../errno.ts';
import { CodedError } from '../errors.ts';
import { decodeMessage, ProtobufError } from '../protobuf.ts';

const IMG_COMMON_MAGIC = 0x54564319;
const IMG_SERVICE_MAGIC = 0x55105940;

/** The second magic number: the kind of the image. */
export const imageMagic = { inventory: 0x58313116, pstree: 0x50273030, stats: 0x57093306 } as const;
export type ImageKind = keyof typeof imageMagic;

/** A CRIU image is damaged, or of another version. */
export class CriuImageError extends CodedError<'ERR_CRIU_IMAGE'> {
  constructor(what: string) {
    super('ERR_CRIU_IMAGE', what, { hint: 'the image is damaged, or of another version of CRIU' });
  }
}

/** The inventory has only its own magic number; every other image has a common one before it. */
function headBytes(bytes: Buffer, kind: ImageKind): number {
  const magic = imageMagic[kind];
  const [first, second] = bytes.length < 8 ? [] : [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
  if (kind === 'inventory' && first === magic) return 4;
  if ((first === IMG_COMMON_MAGIC || first === IMG_SERVICE_MAGIC) && second === magic) return 8;
  throw new CriuImageError(`not a CRIU ${kind} image`);
}

/** Reads every message of an image file. @throws {@link CriuImageError} the bytes are not an image of this kind */
export function decodeImage<Desc extends DescMessage>(
  bytes: Buffer,
  kind: ImageKind,
  schema: Desc,
): MessageShape<Desc>[] {
  const messages: MessageShape<Desc>[] = [];
  let at = headBytes(bytes, kind);
  while (at < bytes.length) {
    if (at + 4 > bytes.length)
      throw new CriuImageError(`${kind} image: truncated in the length of a message`);
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length) throw new CriuImageError(`${kind} image: truncated in a message`);
    messages.push(decodeMessage(schema, bytes.subarray(at + 4, end)));
    at = end;
  }
  return messages;
}

/** Reads every message of an image file. @returns `undefined` when the file or its directory does not exist */
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
