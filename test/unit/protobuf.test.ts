// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { decodeMessage, ProtobufError } from '../../lib/protobuf.ts';

const inner = { value: { number: 1, type: 'uint' } } as const;
const table = {
  count: { number: 1, type: 'uint' },
  wide: { number: 2, type: 'fixed64' },
  flag: { number: 3, type: 'bool' },
  name: { number: 4, type: 'text' },
  raw: { number: 5, type: 'bytes' },
  sizes: { number: 6, type: 'uint', repeated: true },
  rows: { number: 7, type: inner, repeated: true },
  row: { number: 8, type: inner },
  perhaps: { number: 16, type: 'uint', optional: true },
  another: { number: 17, type: inner, optional: true },
} as const;

const decode = (...bytes: number[]) => decodeMessage(Uint8Array.from(bytes), table);
const key = (number: number, wireType: number): number => number * 8 + wireType;

describe('decodeMessage', () => {
  it('gives defaults for what is absent', () => {
    expect(decode()).toEqual({
      count: 0,
      wide: 0n,
      flag: false,
      name: '',
      raw: new Uint8Array(),
      sizes: [],
      rows: [],
      row: { value: 0 },
      perhaps: undefined,
      another: undefined,
    });
  });

  it('reads every kind of field', () => {
    const message = decode(
      ...[key(1, 0), 0xac, 0x02],
      ...[key(2, 1), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      ...[key(3, 0), 1],
      ...[key(4, 2), 2, 0x68, 0x69],
      ...[key(5, 2), 1, 0xfe],
      ...[key(6, 2), 3, 1, 0x80, 0x01],
      ...[key(6, 0), 5],
      ...[key(7, 2), 2, key(1, 0), 9],
      ...[key(7, 2), 0],
      ...[key(8, 2), 2, key(1, 0), 3],
      ...[0x80, 0x01, 0],
      ...[0x8a, 0x01, 2, key(1, 0), 4],
    );
    expect(message).toEqual({
      count: 300,
      wide: 2n ** 64n - 1n,
      flag: true,
      name: 'hi',
      raw: Uint8Array.of(0xfe),
      sizes: [1, 128, 5],
      rows: [{ value: 9 }, { value: 0 }],
      row: { value: 3 },
      perhaps: 0,
      another: { value: 4 },
    });
  });

  it('takes the last of equal fields', () => {
    expect(decode(key(1, 0), 5, key(1, 0), 6).count).toBe(6);
  });

  it('drops a field of another wire type', () => {
    expect(decode(key(1, 5), 1, 2, 3, 4, key(3, 0), 1)).toMatchObject({ count: 0, flag: true });
  });

  it('skips fields it does not know, whatever they hold', () => {
    const big = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    const message = decode(
      ...[key(12, 0), ...big],
      ...[key(13, 1), 1, 2, 3, 4, 5, 6, 7, 8],
      ...[key(14, 2), 3, 1, 2, 3],
      ...[key(15, 5), 1, 2, 3, 4],
      ...[key(1, 0), 7],
    );
    expect(message.count).toBe(7);
  });

  it.each([
    ['a number that is cut off', [key(1, 0), 0x80]],
    ['a field that is cut off', [key(4, 2), 5, 1]],
    ['a wide field that is cut off', [key(2, 1), 1, 2]],
    ['an unknown wire type', [key(9, 6)]],
    ['a group that does not end', [key(9, 3)]],
    ['a number above 2^53', [key(1, 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    ['a number that does not end', [key(1, 0), ...Array<number>(11).fill(0x80)]],
    ['damage in an inner message', [key(7, 2), 1, key(1, 0)]],
    ['packed numbers that are cut off', [key(6, 2), 2, 1, 0x80]],
  ])('refuses %s', (_what, bytes) => {
    expect(() => decode(...bytes)).toThrow(ProtobufError);
  });
});
