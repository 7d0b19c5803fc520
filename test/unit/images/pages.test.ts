// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import { checkPages } from '../../../lib/images/check.ts';
import { GpuImageError } from '../../../lib/images/index.ts';

const KiB = 1024;
const mapping = (address: bigint, size = 4 * KiB, offset = 0) => ({
  address,
  size,
  offset,
  drivers: false,
  shared: false,
});
const check = (mappings: ReturnType<typeof mapping>[], size = 64 * KiB, stored = size): void => {
  checkPages({ size, stored, mappings }, 'cuda-host-7.img');
};

it('accepts mappings by address that touch', () => {
  check([]);
  check([
    mapping(0x10000n, 8 * KiB),
    mapping(0x12000n, 4 * KiB, 60 * KiB),
    mapping(2n ** 64n - 8192n, 4 * KiB),
  ]);
});

it.each([
  ['an address inside a page', [mapping(0x10001n)], 'mappings[0].address is 65537'],
  [
    'an address whose end is beyond 64 bits',
    [mapping(2n ** 64n - 4096n)],
    'mappings[0].address is 18446744073709547520',
  ],
  ['another order', [mapping(0x20000n), mapping(0x10000n)], 'mappings[1].address is 65536'],
  ['an overlap', [mapping(0x10000n, 8 * KiB), mapping(0x11000n)], 'mappings[1].address is 69632'],
  ['no size', [mapping(0x10000n, 0)], 'mappings[0].size is 0'],
  ['a part of a page', [mapping(0x10000n, 100)], 'mappings[0].size is 100'],
  ['more than the file', [mapping(0x10000n, 68 * KiB)], 'mappings[0].size is 69632'],
  ['an end beyond the file', [mapping(0x10000n, 8 * KiB, 60 * KiB)], 'mappings[0].offset is 61440'],
])('refuses %s', (_name, mappings, message) => {
  expect(() => {
    check(mappings);
  }).toThrow(new GpuImageError(`cuda-host-7.img: ${message}`));
});

it('refuses impossible sizes', () => {
  expect(() => {
    check([], 0);
  }).toThrow('cuda-host-7.img: size is 0');
  expect(() => {
    check([], 4097);
  }).toThrow('cuda-host-7.img: size is 4097');
  expect(() => {
    check([], 4096, 8192);
  }).toThrow('cuda-host-7.img: stored is 8192 of 4096 bytes');
});
