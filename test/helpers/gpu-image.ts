// SPDX-License-Identifier: MIT
/** Changes manifests as another version would have written them: with a right checksum. */
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { decodeMessage, encodeMessage, type Schema } from '../../lib/protobuf.ts';

const HEAD_BYTES = 24;

/** Writes a file with the head of a manifest and one message. */
export function writeManifest<Message extends object>(
  path: string,
  magic: string,
  schema: Schema<Message>,
  message: Partial<Message>,
): void {
  const bytes = encodeMessage(schema, message);
  const head = Buffer.alloc(HEAD_BYTES);
  head.write(magic, 'latin1');
  head.writeUInt32LE(1, 8);
  head.writeUInt32LE(crc32(bytes), 12);
  head.writeBigUInt64LE(BigInt(bytes.length), 16);
  writeFileSync(path, Buffer.concat([head, bytes]));
}

/** Changes one message in a file that begins with the head of a manifest. */
export function changeManifest<Message extends object>(
  path: string,
  schema: Schema<Message>,
  change: (message: Message) => void,
): void {
  const file = readFileSync(path);
  const message = decodeMessage(schema, file.subarray(HEAD_BYTES));
  change(message);
  writeManifest(path, file.toString('latin1', 0, 8), schema, message);
}
