// SPDX-License-Identifier: MIT
/**
 * Reads and changes CRIU's small image files: two magic numbers, then protobuf messages, each preceded by its 32-bit
 * length.
 * @module
 */
import { readFileSync } from 'node:fs';
import { replaceFile } from '../directory.ts';
import { isErrno } from '../errno.ts';
import { CodedError } from '../errors.ts';
import { decodeMessage, encodeMessage, ProtobufError, type Schema } from '../protobuf.ts';

const IMG_COMMON_MAGIC = 0x54564319;
const IMG_SERVICE_MAGIC = 0x55105940;

/** The second magic number: the kind of the image. */
export const imageMagic = {
  core: 0x55053847,
  fdinfo: 0x56213732,
  files: 0x56303138,
  ids: 0x54432030,
  inventory: 0x58313116,
  mm: 0x57492820,
  pstree: 0x50273030,
  remap: 0x59133954,
  stats: 0x57093306,
  timens: 0x43114433,
  terminals: 0x59453036,
} as const;
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

/** Of the length of a message, which is in front of it. */
const LENGTH_BYTES = 4;

/**
 * The bytes of each message of an image file.
 * @param from where a message begins. @default the first one
 * @throws {@link CriuImageError} the bytes are not an image of this kind
 */
function messagesOf(bytes: Buffer, kind: ImageKind, from = headBytes(bytes, kind)): Buffer[] {
  const messages: Buffer[] = [];
  let at = from;
  while (at < bytes.length) {
    if (at + LENGTH_BYTES > bytes.length)
      throw new CriuImageError(`${kind} image: truncated in the length of a message`);
    const end = at + LENGTH_BYTES + bytes.readUInt32LE(at);
    if (end > bytes.length) throw new CriuImageError(`${kind} image: truncated in a message`);
    messages.push(bytes.subarray(at + LENGTH_BYTES, end));
    at = end;
  }
  return messages;
}

/** Which messages of an image are read. */
export interface Selection {
  /** Tells by its bytes which message is decoded. @default every one */
  isWanted?: (message: Buffer) => boolean;
  /** Where a message begins: those before it are left out. @default none */
  from?: number | undefined;
}

/** Reads messages of an image file. @throws {@link CriuImageError} the bytes are not an image of this kind */
export function decodeImage<Message extends object>(
  bytes: Buffer,
  kind: ImageKind,
  schema: Schema<Message>,
  { isWanted = () => true, from }: Selection = {},
): Message[] {
  return messagesOf(bytes, kind, from)
    .filter(isWanted)
    .map((message) => decodeMessage(schema, message));
}

/**
 * Where the messages of an image end that is still being written, or as many of them as are asked for.
 * @param from where one of them begins. @default the first one
 * @throws {@link CriuImageError} the bytes do not begin as an image of this kind does
 */
export function endOfMessages(
  bytes: Buffer,
  kind: ImageKind,
  most: number,
  from = headBytes(bytes, kind),
): number {
  let at = from;
  for (let i = 0; i < most && at + LENGTH_BYTES <= bytes.length; i += 1) {
    const end = at + LENGTH_BYTES + bytes.readUInt32LE(at);
    if (end > bytes.length) break;
    at = end;
  }
  return at;
}

function withLength(message: Uint8Array): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(message.length);
  return Buffer.concat([length, message]);
}

/** Changes a message in place. @returns whether it did */
type Change<Message> = (message: Message, index: number) => boolean;

/**
 * The image with some of its messages changed; the bytes of all others stay as they are.
 * @param mayChange tells by its number which message is decoded and given to `change`. @default all
 * @returns the same buffer when nothing has changed
 */
export function changeMessages<Message extends object>(
  bytes: Buffer,
  kind: ImageKind,
  schema: Schema<Message>,
  change: Change<Message>,
  mayChange: (index: number) => boolean = () => true,
): Buffer {
  const parts: Buffer[] = [];
  let copied = 0;
  let end = headBytes(bytes, kind);
  for (const [index, raw] of messagesOf(bytes, kind).entries()) {
    const start = end;
    end += LENGTH_BYTES + raw.length;
    if (!mayChange(index)) continue;
    const message = decodeMessage(schema, raw, true);
    if (!change(message, index)) continue;
    parts.push(bytes.subarray(copied, start), withLength(encodeMessage(schema, message)));
    copied = end;
  }
  return parts.length === 0 ? bytes : Buffer.concat([...parts, bytes.subarray(copied)]);
}

/** The image with more messages at its end. */
export function appendMessages<Message extends object>(
  bytes: Buffer,
  schema: Schema<Message>,
  messages: readonly Message[],
): Buffer {
  return Buffer.concat([bytes, ...messages.map((message) => withLength(encodeMessage(schema, message)))]);
}

/**
 * Changes some messages of an image file, see {@link changeMessages}. The file is replaced at once.
 * @returns its contents
 */
export function changeImage<Message extends object>(
  path: string,
  kind: ImageKind,
  schema: Schema<Message>,
  change: Change<Message>,
  mayChange?: (index: number) => boolean,
): Buffer {
  const before = readFileSync(path);
  const after = changeMessages(before, kind, schema, change, mayChange);
  if (after !== before && !after.equals(before)) replaceFile(path, after);
  return after;
}

/** Adds messages at the end of an image file, which is replaced at once. */
export function appendToImage<Message extends object>(
  path: string,
  schema: Schema<Message>,
  messages: readonly Partial<Message>[],
): void {
  const added = messages.map((message) => withLength(encodeMessage(schema, message)));
  replaceFile(path, Buffer.concat([readFileSync(path), ...added]));
}

/** Reads every message of an image file. @returns `undefined` when the file or its directory does not exist */
export function readImage<Message extends object>(
  path: string,
  kind: ImageKind,
  schema: Schema<Message>,
): Message[] | undefined {
  const bytes = bytesOfImage(path);
  return bytes && decodeFile(path, bytes, kind, schema);
}

/** The contents of an image. @returns `undefined` when there is none */
export function bytesOfImage(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** What the contents of an image mean, see {@link decodeImage}. @throws {@link CriuImageError} with its path */
export function decodeFile<Message extends object>(
  path: string,
  bytes: Buffer,
  kind: ImageKind,
  schema: Schema<Message>,
  selection?: Selection,
): Message[] {
  try {
    return decodeImage(bytes, kind, schema, selection);
  } catch (error) {
    if (error instanceof CriuImageError || error instanceof ProtobufError)
      throw new CriuImageError(`${path}: ${error.message}`);
    throw error;
  }
}
