// SPDX-License-Identifier: MIT
/** Changes manifests as another version would have written them: with a right checksum. */
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';

const HEAD_BYTES = 24;

/** Changes one message in a file that begins with the head of a manifest. */
export function changeManifest<Desc extends DescMessage>(
  path: string,
  schema: Desc,
  change: (message: MessageShape<Desc>) => void,
): void {
  const bytes = readFileSync(path);
  const head = bytes.subarray(0, HEAD_BYTES);
  const message = fromBinary(schema, bytes.subarray(HEAD_BYTES));
  change(message);
  const changed = toBinary(schema, message);
  head.writeUInt32LE(crc32(changed), 12);
  head.writeBigUInt64LE(BigInt(changed.length), 16);
  writeFileSync(path, Buffer.concat([head, changed]));
}
