// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { PstreeEntrySchema } from '../../lib/criu/gen/images_pb.ts';
import { ManifestSchema } from '../../lib/images/gen/image_pb.ts';
import { decodeMessage, ProtobufError, toNumber } from '../../lib/protobuf.ts';

const decode = (...bytes: number[]) => decodeMessage(ManifestSchema, Uint8Array.from(bytes));
const key = (number: number, wireType: number): number => number * 8 + wireType;

describe('decodeMessage', () => {
  it('returns defaults for absent fields', () => {
    expect(decode()).toMatchObject({ id: new Uint8Array(), created: 0n, tool: '', pid: 0, chunks: [] });
    expect(decodeMessage(PstreeEntrySchema, new Uint8Array())).toMatchObject({ threads: [] });
  });

  it('distinguishes an absent number from 0 where the layout says optional', () => {
    const task = decodeMessage(PstreeEntrySchema, Uint8Array.of(key(2, 0), 0));
    expect(task.ppid).toBe(0);
    expect(task.pid).toBeUndefined();
  });

  it('reads every kind of field', () => {
    const message = decode(
      ...[key(1, 2), 1, 0xfe],
      ...[key(2, 1), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
      ...[key(3, 2), 2, 0x68, 0x69],
      ...[key(4, 0), 0xac, 0x02],
      ...[key(7, 2), 3, key(2, 2), 1, 0x61],
      ...[key(7, 2), 0],
      ...[key(9, 2), 2, key(7, 0), 1],
      ...[key(10, 2), 3, 1, 0x80, 0x01],
      ...[key(10, 0), 5],
    );
    expect(message).toMatchObject({
      id: Uint8Array.of(0xfe),
      created: 2n ** 64n - 1n,
      tool: 'hi',
      pid: 300,
      devices: [{ name: 'a' }, { name: '' }],
      chunks: [{ zero: true }],
      stripeSizes: [1n, 128n, 5n],
    });
  });

  it('uses the last of repeated single fields', () => {
    expect(decode(key(4, 0), 5, key(4, 0), 6).pid).toBe(6);
  });

  it('skips unknown fields, whatever they contain', () => {
    const big = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    const message = decode(
      ...[key(15, 0), ...big],
      ...[key(13, 1), 1, 2, 3, 4, 5, 6, 7, 8],
      ...[key(14, 2), 3, 1, 2, 3],
      ...[key(15, 5), 1, 2, 3, 4],
      ...[key(4, 0), 7],
    );
    expect(message.pid).toBe(7);
  });

  it.each([
    ['a number that is cut off', [key(4, 0), 0x80]],
    ['a field that is cut off', [key(3, 2), 5, 1]],
    ['a wide field that is cut off', [key(2, 1), 1, 2]],
    ['an unknown wire type', [key(12, 6)]],
    ['a group that does not end', [key(12, 3)]],
    ['a number that does not end', [key(4, 0), ...Array<number>(11).fill(0x80)]],
    ['damage in an inner message', [key(9, 2), 1, key(1, 0)]],
    ['packed numbers that are cut off', [key(10, 2), 2, 1, 0x80]],
  ])('refuses %s', (_what, bytes) => {
    expect(() => decode(...bytes)).toThrow(ProtobufError);
  });
});

it('toNumber refuses what a number cannot hold', () => {
  expect(toNumber(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  expect(() => toNumber(2n ** 53n)).toThrow(ProtobufError);
});
