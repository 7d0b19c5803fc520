// SPDX-License-Identifier: MIT
/**
 * Reads and writes protobuf messages with generated schemas (see scripts/protobuf.mjs): what the image layouts use of
 * proto3. A schema is a plain table, so that nothing has to be prepared before the first message.
 * @module
 */

/** Types of single values. */
export type ScalarType = 'bool' | 'bytes' | 'fixed64' | 'string' | 'uint32' | 'uint64';

/**
 * How often a field occurs: `single` has a default, `optional` is `undefined` when it is absent, as messages are, and
 * `repeated` is an array. Repeated numbers are written packed, or one by one.
 */
export type FieldKind = 'single' | 'optional' | 'repeated' | 'repeated-one-by-one';

/** A field: its number, its name in TypeScript, its type, and how often it occurs. */
export type Field = readonly [number, string, ScalarType | Schema<object>, FieldKind];

/** The fields of a message, ascending by number. */
export interface Schema<Message extends object> {
  readonly name: string;
  readonly fields: readonly Field[];
  /** Only in types: the message that the schema describes. */
  readonly message?: Message;
}

/** The bytes are not a message of this schema. */
export class ProtobufError extends Error {}

/** Converts a 64-bit number. @throws {@link ProtobufError} above 2^53 */
export function toNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new ProtobufError('a number is above 2^53');
  return number;
}

const VARINT = 0;
const WIDE = 1;
const LENGTH = 2;
const NARROW = 5;
/** A number of 64 bits has at most ten bytes, of which the last has one bit. */
const MAX_VARINT_BYTES = 10;

type Value = bigint | boolean | number | string | Uint8Array | object;
type Values = Record<string, Value | Value[] | undefined>;

const NO_BYTES = new Uint8Array();

/** Fields that a schema does not have, as they were read. */
const unknownFields = new WeakMap<object, Uint8Array[]>();

class Reader {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  /** A number of up to 53 bits. Larger ones are read by {@link wide}. */
  #small(): number | undefined {
    let value = 0;
    let factor = 1;
    for (let i = this.at; i < this.at + 7; i += 1) {
      const byte = this.bytes[i];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        this.at = i + 1;
        return value;
      }
      factor *= 0x80;
    }
    return undefined;
  }

  varint(): bigint {
    const small = this.#small();
    if (small !== undefined) return BigInt(small);
    let value = 0n;
    for (let i = 0; i < MAX_VARINT_BYTES; i += 1) {
      const byte = this.bytes[this.at];
      if (byte === undefined) throw new ProtobufError('a number is cut off');
      this.at += 1;
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a number does not end');
  }

  /** The low 32 bits of a number. */
  uint32(): number {
    const small = this.#small();
    return small === undefined ? Number(BigInt.asUintN(32, this.varint())) : small % 2 ** 32;
  }

  fixed64(): bigint {
    return this.take(8).readBigUInt64LE();
  }

  take(length: number): Buffer {
    const end = this.at + length;
    if (end > this.bytes.length) throw new ProtobufError('a field is cut off');
    const taken = this.bytes.subarray(this.at, end);
    this.at = end;
    return taken;
  }

  /** A field of bytes. */
  chunk(): Buffer {
    return this.take(toNumber(this.varint()));
  }

  skip(wireType: number): void {
    if (wireType === VARINT) this.varint();
    else if (wireType === WIDE) this.take(8);
    else if (wireType === LENGTH) this.chunk();
    else if (wireType === NARROW) this.take(4);
    else throw new ProtobufError(`a field has the wire type ${wireType}`);
  }
}

function wireTypeOf(type: Field[2]): number {
  if (type === 'fixed64') return WIDE;
  return type === 'bool' || type === 'uint32' || type === 'uint64' ? VARINT : LENGTH;
}

const isRepeated = (kind: FieldKind): boolean => kind === 'repeated' || kind === 'repeated-one-by-one';

function defaultOf([, , type, kind]: Field): Value | Value[] | undefined {
  if (isRepeated(kind)) return [];
  if (kind === 'optional' || typeof type === 'object') return undefined;
  if (type === 'bytes') return NO_BYTES;
  if (type === 'string') return '';
  if (type === 'bool') return false;
  return type === 'uint32' ? 0 : 0n;
}

function readValue(reader: Reader, type: Field[2], keepUnknown: boolean): Value {
  if (typeof type === 'object') return readMessage(type, reader.chunk(), keepUnknown);
  switch (type) {
    case 'bool':
      return reader.varint() !== 0n;
    case 'bytes':
      return Uint8Array.from(reader.chunk());
    case 'fixed64':
      return reader.fixed64();
    case 'string':
      return reader.chunk().toString('utf8');
    case 'uint32':
      return reader.uint32();
    case 'uint64':
      return reader.varint();
  }
}

/** Reads the values of a repeated field: one, or packed ones. */
function readValues(reader: Reader, type: Field[2], wireType: number, keepUnknown: boolean): Value[] {
  if (wireType === wireTypeOf(type)) return [readValue(reader, type, keepUnknown)];
  const packed = new Reader(reader.chunk());
  const values: Value[] = [];
  while (!packed.isAtEnd) values.push(readValue(packed, type, keepUnknown));
  return values;
}

/** Numbers may be packed, whatever the layout says. */
function accepts(field: Field, wireType: number): boolean {
  const expected = wireTypeOf(field[2]);
  return wireType === expected || (wireType === LENGTH && expected !== LENGTH && isRepeated(field[3]));
}

/** What reading needs of a schema: a program reads few messages, most of them small, with code that V8 has not optimized. */
interface Prepared {
  byNumber: (Field | undefined)[];
  singles: Values;
  repeated: string[];
}

const preparedSchemas = new WeakMap<Schema<object>, Prepared>();

function prepare(schema: Schema<object>): Prepared {
  const known = preparedSchemas.get(schema);
  if (known) return known;
  const prepared: Prepared = { byNumber: [], singles: {}, repeated: [] };
  for (const field of schema.fields) {
    prepared.byNumber[field[0]] = field;
    prepared.singles[field[1]] = defaultOf(field);
    if (isRepeated(field[3])) prepared.repeated.push(field[1]);
  }
  preparedSchemas.set(schema, prepared);
  return prepared;
}

function readMessage(schema: Schema<object>, bytes: Uint8Array, keepUnknown: boolean): object {
  const reader = new Reader(bytes);
  const { byNumber, singles, repeated } = prepare(schema);
  const message: Values = { ...singles };
  for (const name of repeated) message[name] = [];
  const unknown: Uint8Array[] = [];
  while (!reader.isAtEnd) {
    const start = reader.at;
    const key = reader.uint32();
    const wireType = key & 7;
    if (key < 8) throw new ProtobufError('a field has the number 0');
    const field = byNumber[key >>> 3];
    if (!field || !accepts(field, wireType)) {
      reader.skip(wireType);
      if (keepUnknown) unknown.push(reader.bytes.subarray(start, reader.at));
      continue;
    }
    const name = field[1];
    const values = message[name];
    if (Array.isArray(values)) values.push(...readValues(reader, field[2], wireType, keepUnknown));
    else message[name] = readValue(reader, field[2], keepUnknown);
  }
  if (unknown.length > 0) unknownFields.set(message, unknown);
  return message;
}

/**
 * Reads one message.
 * @param keepUnknown whether {@link encodeMessage} writes the fields that the schema does not have
 * @throws {@link ProtobufError} saying what is wrong with the bytes
 */
export function decodeMessage<Message extends object>(
  schema: Schema<Message>,
  bytes: Uint8Array,
  keepUnknown = false,
): Message {
  return readMessage(schema, bytes, keepUnknown) as Message;
}

function varintOf(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

const keyOf = (number: number, wireType: number): Buffer => varintOf(BigInt(number * 8 + wireType));

const withLength = (bytes: Uint8Array): Buffer => Buffer.concat([varintOf(BigInt(bytes.length)), bytes]);

function fixed64Of(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function valueBytes(type: Field[2], value: Value): Uint8Array {
  if (typeof type === 'object') return withLength(encodeMessage(type, value as object));
  if (type === 'bytes') return withLength(value as Uint8Array);
  if (type === 'string') return withLength(Buffer.from(value as string));
  if (type === 'fixed64') return fixed64Of(value as bigint);
  return varintOf(BigInt(value as bigint | boolean | number));
}

/** A field without its default is not written. */
const isDefault = (value: Value): boolean =>
  value === 0 ||
  value === 0n ||
  value === '' ||
  value === false ||
  (value instanceof Uint8Array && !value.length);

function fieldBytes([number, name, type, kind]: Field, message: Values): Uint8Array[] {
  const value = message[name];
  if (value === undefined || (kind === 'single' && isDefault(value))) return [];
  const values = Array.isArray(value) ? (value as readonly Value[]) : [value];
  const isPacked = kind === 'repeated' && wireTypeOf(type) !== LENGTH;
  const key = keyOf(number, wireTypeOf(type));
  if (!isPacked) return values.flatMap((one) => [key, valueBytes(type, one)]);
  if (values.length === 0) return [];
  const bytes = Buffer.concat(values.map((one) => valueBytes(type, one)));
  return [keyOf(number, LENGTH), withLength(bytes)];
}

/** Writes one message: its fields, and after them those that the schema does not have and that were kept. */
export function encodeMessage<Message extends object>(
  schema: Schema<Message>,
  message: Partial<Message>,
): Uint8Array {
  const known = schema.fields.flatMap((field) => fieldBytes(field, message as Values));
  return Buffer.concat([...known, ...(unknownFields.get(message) ?? [])]);
}
