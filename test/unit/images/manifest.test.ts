// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  GpuImageError,
  parseManifest,
  protocolRefusal,
  supportedProtocols,
} from '../../../lib/images/index.ts';
import { projectRoot } from '../../../lib/paths.ts';

const HEAD_BYTES = 24;
const fixture = readFileSync(join(projectRoot, 'test/fixtures/gpu-image/cuda-4242.img'));
const parse = (bytes: Buffer) => parseManifest(bytes, 'cuda-4242.img');

/** The fixture with bytes replaced, and a matching checksum. */
function sealed(change: (bytes: Buffer) => void, length = fixture.length): Buffer {
  const bytes = Buffer.from(fixture.subarray(0, length));
  change(bytes);
  bytes.writeBigUInt64LE(BigInt(length - HEAD_BYTES), 16);
  bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES)), 12);
  return bytes;
}

/** `undefined` when the bytes are accepted; anything but a GpuImageError fails the test. */
function refusal(bytes: Buffer): string | undefined {
  try {
    parse(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof GpuImageError) return error.message;
    throw error;
  }
}

describe('protocolRefusal', () => {
  it('has the range of the C code', () => {
    const header = readFileSync(join(projectRoot, 'plugins-cuda/common/protocol/protocol.h'), 'utf8');
    const number = (name: string): number => Number(new RegExp(`#define ${name} +(\\d+)u`).exec(header)?.[1]);
    expect({ min: number('CCR_PROTOCOL_MIN'), max: number('CCR_PROTOCOL_VERSION') }).toEqual(
      supportedProtocols,
    );
  });

  it('refuses what is outside of the range, each side with its remedy', () => {
    const { min, max } = supportedProtocols;
    const refusalOf = (protocol: number): string | undefined =>
      protocolRefusal({ protocol, tool: '9.9.9' }, 'cuda-1.img');
    expect(refusalOf(min - 1)).toMatch(
      /^cuda-1\.img: protocol is \d+ \(criu-cuda 9\.9\.9\).*make the checkpoint again$/,
    );
    for (let protocol = min; protocol <= max; protocol += 1) expect(refusalOf(protocol)).toBeUndefined();
    expect(refusalOf(max + 1)).toMatch(/^cuda-1\.img: protocol is \d+;.*use version 9\.9\.9 or later$/);
  });
});

describe('parseManifest', () => {
  it('reads what the C writer wrote', () => {
    const manifest = parse(fixture);
    expect(manifest).toMatchObject({
      version: 1,
      pid: 4242,
      driver: 13000,
      chunkSize: 4096,
      devices: [{ uuid: 'GPU-30313233-3435-3637-3839-616263646500', name: 'test device' }],
      stripeSizes: [12288, 16384],
    });
    expect(manifest.id).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
    expect(manifest.created.getUTCFullYear()).toBeGreaterThanOrEqual(2025);
    expect(manifest.allocations.map((entry) => entry.size)).toEqual([8192, 5000, 4096, 1, 4096, 12000]);
    expect(manifest.allocations[1]).toEqual({
      id: 101,
      address: 0x7f0010000000n,
      size: 5000,
      requested: 5000,
      device: 0,
      isOwnVmm: true,
    });
  });

  it('reads chunks with their places and checksums', () => {
    const { chunks } = parse(fixture);
    expect(chunks).toHaveLength(10);
    expect(chunks[0]).toEqual({
      allocation: 0,
      position: 0,
      length: 4096,
      stripe: 0,
      offset: 0,
      xxh3: 0n,
      zero: true,
    });
    expect(chunks[3]).toMatchObject({ allocation: 1, position: 4096, length: 904, zero: false });
    expect(chunks[3]?.xxh3).toBeGreaterThan(2n ** 40n);
    expect(chunks.filter((chunk) => chunk.zero)).toHaveLength(3);
  });

  it('refuses every flipped bit', () => {
    for (let at = 0; at < fixture.length * 8; at += 1) {
      const bytes = Buffer.from(fixture);
      bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (1 << (at & 7));
      expect(refusal(bytes), `bit ${at}`).toMatch(/^cuda-4242\.img: /);
    }
  });

  it('refuses every shorter file', () => {
    for (let length = 0; length < fixture.length; length += 1) {
      expect(refusal(fixture.subarray(0, length)), `${length} bytes`).toMatch(/^cuda-4242\.img: /);
    }
  });

  it('reads or refuses any contents with a matching checksum, and throws nothing else', () => {
    let refused = 0;
    for (let at = HEAD_BYTES; at < fixture.length; at += 1) {
      for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
        const message = refusal(sealed((bytes) => (bytes[at] = value)));
        if (message !== undefined) refused += 1;
      }
      if (refusal(sealed(() => undefined, at)) !== undefined) refused += 1;
    }
    expect(refused).toBeGreaterThan(fixture.length);
  });

  it('names a file that is not an image, and unknown versions', () => {
    expect(refusal(Buffer.from('\x54\x56\x43\x19 something of CRIU'))).toContain('not a GPU image');
    const other = Buffer.from(fixture);
    other.writeUInt32LE(7, 8);
    expect(refusal(other)).toBe('cuda-4242.img: version is 7; this program reads 1');
  });
});
