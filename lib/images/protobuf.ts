// SPDX-License-Identifier: MIT
/**
 * Just enough protobuf to read a manifest: a table says which field numbers a
 * message has; unknown fields are skipped, absent ones have protobuf's defaults.
 * @module
 */

/** What a field may hold; a `uint` above 2^53 is refused, `fixed64` is always exact. */
interface Scalars {
  uint: number;
  fixed64: bigint;
  bool: boolean;
  text: string;
  bytes: Uint8Array;
}

export type Field =
  | { number: number; type: keyof Scalars; repeated?: undefined }
  | { number: number; type: 'uint'; repeated: true }
  | { number: number; type: Table; repeated: true };

export type Table = Readonly<Record<string, Field>>;

type ValueOf<F extends Field> = F extends { repeated: true; type: infer T }
  ? T extends Table
    ? Message<T>[]
    : number[]
  : F extends { type: infer T extends keyof Scalars }
    ? Scalars[T]
    : never;

/** What a table describes. */
export type Message<T extends Table> = { -readonly [K in keyof T]: ValueOf<T[K]> };

/** The bytes are not a message of this table; the text says where. */
export class ProtobufError extends Error {}

class Reader {
  private readonly view: DataView;
  private at = 0;
  private readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length;
  }

  varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = this.bytes[this.at];
      if (byte === undefined) throw new ProtobufError('a number is cut off');
      this.at += 1;
      value += (byte & 0x7f) * factor;
      factor *= 128;
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw new ProtobufError('a number is above 2^53');
        return value;
      }
    }
    throw new ProtobufError('a number is longer than 64 bits');
  }

  fixed64(): bigint {
    this.need(8);
    const value = this.view.getBigUint64(this.at, true);
    this.at += 8;
    return value;
  }

  chunk(): Uint8Array {
    const length = this.varint();
    this.need(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  skip(wireType: number): void {
    if (wireType === 0) this.skipVarint();
    else if (wireType === 1) this.fixed64();
    else if (wireType === 2) this.chunk();
    else if (wireType === 5) {
      this.need(4);
      this.at += 4;
    } else throw new ProtobufError(`wire type ${wireType} is unknown`);
  }

  private skipVarint(): void {
    for (let byte = 0x80; byte >= 0x80; this.at += 1) {
      const next = this.bytes[this.at];
      if (next === undefined) throw new ProtobufError('a number is cut off');
      byte = next;
    }
  }

  private need(length: number): void {
    if (length > this.bytes.length - this.at) throw new ProtobufError('a field ends after its message');
  }
}

const defaults: { [K in keyof Scalars]: () => Scalars[K] } = {
  uint: () => 0,
  fixed64: () => 0n,
  bool: () => false,
  text: () => '',
  bytes: () => new Uint8Array(),
};

const wireTypes: Record<keyof Scalars, number> = { uint: 0, bool: 0, fixed64: 1, text: 2, bytes: 2 };

const readers: { [K in keyof Scalars]: (reader: Reader) => Scalars[K] } = {
  uint: (reader) => reader.varint(),
  fixed64: (reader) => reader.fixed64(),
  bool: (reader) => reader.varint() !== 0,
  text: (reader) => Buffer.from(reader.chunk()).toString('utf8'),
  bytes: (reader) => reader.chunk(),
};

function readRepeated(reader: Reader, field: Field, wireType: number, list: unknown[]): void {
  if (typeof field.type === 'object') {
    list.push(decodeMessage(reader.chunk(), field.type));
  } else if (wireType === 2) {
    const packed = new Reader(reader.chunk());
    while (!packed.isAtEnd) list.push(packed.varint());
  } else {
    list.push(reader.varint());
  }
}

/** Whether a field may come with this wire type; protobuf drops what does not fit. */
function fits(field: Field, wireType: number): boolean {
  if (typeof field.type === 'object') return wireType === 2;
  return wireType === wireTypes[field.type] || (field.repeated === true && wireType === 2);
}

/** Reads one message. Throws {@link ProtobufError}. */
export function decodeMessage<T extends Table>(bytes: Uint8Array, table: T): Message<T> {
  const values: Record<string, unknown> = {};
  const byNumber = new Map<number, [string, Field]>();
  for (const [name, field] of Object.entries(table)) {
    byNumber.set(field.number, [name, field]);
    values[name] = field.repeated === true ? [] : defaults[field.type]();
  }
  const reader = new Reader(bytes);
  while (!reader.isAtEnd) {
    const tag = reader.varint();
    const wireType = tag % 8;
    const known = byNumber.get(Math.floor(tag / 8));
    if (known === undefined || !fits(known[1], wireType)) {
      reader.skip(wireType);
      continue;
    }
    const [name, field] = known;
    if (field.repeated === true) readRepeated(reader, field, wireType, values[name] as unknown[]);
    else values[name] = readers[field.type](reader);
  }
  return values as Message<T>;
}
