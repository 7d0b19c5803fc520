// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { parseDeviceMap, parseUuid } from '../../../lib/gpu/index.ts';

const A = 'GPU-00112233-4455-6677-8899-aabbccddeeff';
const B = 'ffeeddcc-bbaa-9988-7766-554433221100';

describe('parseUuid', () => {
  it('returns the bytes in the order in which they are written', () => {
    expect(parseUuid(A)).toEqual([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255]);
    expect(parseUuid(B)[0]).toBe(0xff);
  });

  it.each(['', 'GPU-1234', 'MIG-00112233-4455-6677-8899-aabbccddeeff', `${A}0`])('refuses "%s"', (text) => {
    expect(() => parseUuid(text)).toThrow(/is not a GPU's UUID/);
  });
});

describe('parseDeviceMap', () => {
  it('reads pairs with spaces around them', () => {
    expect(parseDeviceMap(`${A}=${B}, ${B}=${A}`)).toEqual([
      { from: A, to: B },
      { from: B, to: A },
    ]);
    expect(parseDeviceMap('')).toEqual([]);
  });

  it('refuses half a pair and a GPU that is mapped twice', () => {
    expect(() => parseDeviceMap(A)).toThrow('not of the form old=new');
    expect(() => parseDeviceMap(`${A}=${B}=${A}`)).toThrow('not of the form old=new');
    expect(() => parseDeviceMap(`${A}=${B},${A}=${A}`)).toThrow('names a GPU twice');
  });
});
