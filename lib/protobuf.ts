// SPDX-License-Identifier: MIT
/**
 * Reads protobuf messages by tables: a table names the fields that are wanted.
 * Unknown fields are skipped; an absent one has protobuf's default, or is
 * `undefined` where the table says `optional`.
 * @module
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** What a field may hold; a `uint` above 2^53 is refused, `fixed64` is always exact. */
interface Scalars {
  uint: number;
  fixed64: bigint;
  bool: boolean;
  text: string;
  bytes: Uint8Array;
}

type Presence =
  { optional?: true | undefined; repeated?: undefined } | { repeated: true; optional?: undefined };

export type Field = { number: number; type: keyof Scalars | Table } & Presence;

export type Table = Readonly<Record<string, Field>>;

type Value<T> = T extends keyof Scalars ? Scalars[T] : T extends Table ? Message<T> : never;

type ValueOf<F extends Field> = F extends { repeated: true }
  ? Value<F['type']>[]
  : F extends { optional: true }
    ? Value<F['type']> | undefined
    : Value<F['type']>;

/** What a table describes. */
export type Message<T extends Table> = { -readonly [K in keyof T]: ValueOf<T[K]> };

/** The bytes are not a message of this table. */
export class ProtobufError extends Error {}

function readUint(reader: BinaryReader): number {
  const value = Number(reader.uint64());
  if (!Number.isSafeInteger(value)) throw new ProtobufError('a number is above 2^53');
  return value;
}

interface Scalar<T> {
  wireType: WireType;
  absent: () => T;
  read: (reader: BinaryReader) => T;
}

const scalars: { [K in keyof Scalars]: Scalar<Scalars[K]> } = {
  uint: { wireType: WireType.Varint, absent: () => 0, read: readUint },
  fixed64: { wireType: WireType.Bit64, absent: () => 0n, read: (reader) => BigInt(reader.fixed64()) },
  bool: { wireType: WireType.Varint, absent: () => false, read: (reader) => reader.bool() },
  text: { wireType: WireType.LengthDelimited, absent: () => '', read: (reader) => reader.string() },
  bytes: {
    wireType: WireType.LengthDelimited,
    absent: () => new Uint8Array(),
    read: (reader) => reader.bytes(),
  },
};

const wireTypeOf = ({ type }: Field): WireType =>
  typeof type === 'object' ? WireType.LengthDelimited : scalars[type].wireType;

/** Protobuf drops a field whose wire type does not fit; repeated numbers may come packed. */
const fits = (field: Field, wireType: WireType): boolean =>
  wireType === wireTypeOf(field) || (field.repeated === true && wireType === WireType.LengthDelimited);

const readValue = (reader: BinaryReader, { type }: Field): unknown =>
  typeof type === 'object' ? readMessage(reader.bytes(), type) : scalars[type].read(reader);

/** One value, or all of a packed field. */
function readRepeated(list: unknown[], reader: BinaryReader, field: Field, wireType: WireType): void {
  if (wireType === wireTypeOf(field)) {
    list.push(readValue(reader, field));
    return;
  }
  const packed = new BinaryReader(reader.bytes());
  while (packed.pos < packed.len) list.push(readValue(packed, field));
}

function absent(field: Field): unknown {
  if (field.repeated === true) return [];
  if (field.optional === true) return undefined;
  return typeof field.type === 'object'
    ? readMessage(new Uint8Array(), field.type)
    : scalars[field.type].absent();
}

function readMessage(bytes: Uint8Array, table: Table): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  const byNumber = new Map<number, [string, Field]>();
  for (const [name, field] of Object.entries(table)) {
    byNumber.set(field.number, [name, field]);
    values[name] = absent(field);
  }
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const [name, field] = byNumber.get(number) ?? [];
    if (name === undefined || field === undefined || !fits(field, wireType)) reader.skip(wireType, number);
    else if (field.repeated !== true) values[name] = readValue(reader, field);
    else readRepeated(values[name] as unknown[], reader, field, wireType);
  }
  return values;
}

/**
 * Reads one message.
 * @throws {@link ProtobufError} saying what is wrong with the bytes
 */
export function decodeMessage<T extends Table>(bytes: Uint8Array, table: T): Message<T> {
  try {
    return readMessage(bytes, table) as Message<T>;
  } catch (error) {
    if (error instanceof ProtobufError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ProtobufError(reason, { cause: error });
  }
}
