// SPDX-License-Identifier: MIT
/**
 * Reads and writes protobuf messages with generated schemas (see scripts/protobuf.mjs).
 * @module
 */
import { fromBinary, toBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';

/** The bytes are not a message of this schema. */
export class ProtobufError extends Error {}

/** Converts a 64-bit number. @throws {@link ProtobufError} above 2^53 */
export function toNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new ProtobufError('a number is above 2^53');
  return number;
}

/**
 * Reads one message.
 * @param keepUnknown whether {@link encodeMessage} writes the fields that the schema does not have
 * @throws {@link ProtobufError} saying what is wrong with the bytes
 */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
  keepUnknown = false,
): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: keepUnknown });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProtobufError(reason, { cause: error });
  }
}

/** Writes one message. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Uint8Array {
  return toBinary(schema, message);
}
