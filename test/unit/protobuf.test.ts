// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { FileEntrySchema, PstreeEntrySchema } from '../../lib/criu/gen/images_pb.ts';
import { ManifestSchema } from '../../lib/images/gen/image_pb.ts';
import { decodeMessage, encodeMessage, ProtobufError, toNumber } from '../../lib/protobuf.ts';

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

  it('takes the low 32 bits of a number that is wider than its field', () => {
    expect(decode(key(4, 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1).pid).toBe(2 ** 32 - 1);
    expect(decode(key(4, 0), 0x81, 0x80, 0x80, 0x80, 0x10).pid).toBe(1);
  });

  it('takes a field of another wire type for an unknown one', () => {
    expect(decode(key(4, 5), 1, 2, 3, 4).pid).toBe(0);
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
    ['a field without a number', [key(0, 0), 1]],
    ['a number that does not end', [key(4, 0), ...Array<number>(11).fill(0x80)]],
    ['damage in an inner message', [key(9, 2), 1, key(1, 0)]],
    ['packed numbers that are cut off', [key(10, 2), 2, 1, 0x80]],
  ])('refuses %s', (_what, bytes) => {
    expect(() => decode(...bytes)).toThrow(ProtobufError);
  });
});

describe('encodeMessage', () => {
  const manifest = {
    id: Uint8Array.of(0xfe),
    created: 2n ** 64n - 1n,
    tool: 'hi',
    pid: 300,
    devices: [{ name: 'a', uuid: new Uint8Array() }],
    stripeSizes: [0n, 128n, 2n ** 63n],
  };

  it('writes what decodeMessage reads, numbers packed, and no defaults', () => {
    const bytes = encodeMessage(ManifestSchema, { ...manifest, driver: 0 });
    expect(decodeMessage(ManifestSchema, bytes)).toMatchObject(manifest);
    expect([...bytes.subarray(-13)]).toEqual(
      [key(10, 2), 13, 0, 0x80, 1, ...Array<number>(9).fill(0x80), 1].slice(-13),
    );
    expect(bytes.includes(key(5, 0), 0)).toBe(false);
  });

  it('writes optional fields that are 0, and repeated ones one by one where the layout says so', () => {
    const socket = { proto: 0, srcAddr: [1, 2], dstAddr: [] };
    expect([...encodeMessage(FileEntrySchema, { isk: socket })]).toEqual([
      key(4, 2),
      6,
      key(5, 0),
      0,
      key(11, 0),
      1,
      key(11, 0),
      2,
    ]);
  });

  it('keeps unknown fields, of inner messages too, and only when asked', () => {
    const bytes = Uint8Array.of(
      key(2, 0),
      7,
      key(3, 2),
      4,
      key(2, 0),
      1,
      key(9, 0),
      5,
      key(15, 5),
      1,
      2,
      3,
      4,
    );
    expect(encodeMessage(FileEntrySchema, decodeMessage(FileEntrySchema, bytes, true))).toEqual(
      Buffer.from(bytes),
    );
    const known = [key(2, 0), 7, key(3, 2), 2, key(2, 0), 1];
    expect([...encodeMessage(FileEntrySchema, decodeMessage(FileEntrySchema, bytes))]).toEqual(known);
  });
});

it('toNumber refuses what a number cannot hold', () => {
  expect(toNumber(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  expect(() => toNumber(2n ** 53n)).toThrow(ProtobufError);
});
