// SPDX-License-Identifier: MIT
// Blocks that zstd compresses: which, with which bytes, and what is not the compressed block.
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { assemble } from '../../../lib/registry/directory/assemble.ts';
import { isWorthCompressing } from '../../../lib/registry/compression/sample.ts';
import { compressFile, decompressFile, requireZstd } from '../../../lib/registry/compression/zstd.ts';
import { digestOf, hexOf, isCompressed, type Description } from '../../../lib/registry/format.ts';
import { needPrograms } from '../../helpers/registry.ts';

const MIB = 2 ** 20;
const digest = digestOf('a block');

let dir: string;
let plain: string;
let compressed: string;
let back: string;
beforeEach((context) => {
  needPrograms(context, 'zstd', 'prlimit');
  dir = mkdtempSync(join(tmpdir(), 'compression-'));
  [plain, compressed, back] = [join(dir, 'plain'), join(dir, 'compressed'), join(dir, 'back')];
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Memory of a program: texts, and half of it noise. */
function memory(bytes: number): Buffer {
  const texts = Buffer.from(
    Array.from({ length: 20_000 }, (_, index) => `request ${index} of a user\0`).join(''),
  );
  const noise = randomBytes(4096);
  return Buffer.concat(Array.from({ length: 100 }, () => [texts, noise]).flat()).subarray(0, bytes);
}

it('a block comes back as it was, and the same bytes become the same bytes', async () => {
  const bytes = memory(20 * MIB);
  writeFileSync(plain, bytes);
  const size = await compressFile(plain, compressed, undefined, 4);
  expect(size).toBeLessThan(bytes.length / 2);
  expect(readFileSync(compressed)).toHaveLength(size);
  await decompressFile(compressed, back, { digest, size: bytes.length }, undefined);
  expect(readFileSync(back).equals(bytes)).toBe(true);
  const other = join(dir, 'other');
  await exec('zstd', ['-q', '-1', '-T1', '-o', other, plain]);
  expect(readFileSync(other).equals(readFileSync(compressed)), 'with one thread').toBe(true);
});

it('what becomes larger than the block takes no space', async () => {
  for (const bytes of [Buffer.alloc(64 * MIB), Buffer.concat([memory(8 * MIB), randomBytes(8 * MIB)])]) {
    writeFileSync(plain, bytes);
    await compressFile(plain, compressed, undefined);
    const failed = decompressFile(compressed, back, { digest, size: MIB }, undefined);
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_REGISTRY_IMAGE',
      message: `cannot decompress block ${digest}: it has more than ${MIB} bytes`,
    });
    expect(existsSync(back)).toBe(false);
  }
});

it.each<[string, (path: string) => void, number, string]>([
  ['shorter than the block', () => undefined, MIB + 1, `it has ${MIB} bytes, and not ${MIB + 1}`],
  [
    'cut off',
    (path) => {
      truncateSync(path, 1000);
    },
    MIB,
    'premature',
  ],
  [
    'something else',
    (path) => {
      writeFileSync(path, 'something else');
    },
    MIB,
    'unsupported format',
  ],
  [
    'nothing',
    (path) => {
      truncateSync(path);
    },
    MIB,
    'unexpected end of file',
  ],
])('a file that is %s is refused', async (_name, change, size, reason) => {
  writeFileSync(plain, memory(MIB));
  await compressFile(plain, compressed, undefined);
  change(compressed);
  await expect(decompressFile(compressed, back, { digest, size }, undefined)).rejects.toThrow(
    new RegExp(`^cannot decompress block sha256:.*${reason}`, 'i'),
  );
  expect(existsSync(back)).toBe(false);
});

it.each([
  ['the memory of a program', memory(MIB), true],
  ['little of it', memory(300), true],
  ['noise', randomBytes(MIB), false],
  ['noise with a beginning that is not', Buffer.concat([memory(100_000), randomBytes(MIB)]), false],
])('a sample of %s decides', async (_name, bytes, expected) => {
  const readAt = (at: number, length: number): Buffer => bytes.subarray(at, at + length);
  expect(await isWorthCompressing(bytes.length, readAt)).toBe(expected);
});

describe('a file of a compressed block', () => {
  const image = (bytes: Buffer, sha256: string): Description => ({
    ...{ schemaVersion: 1, tool: '0', created: '2026-01-02T03:04:05.000Z', isEncrypted: false },
    stack: {
      ...{ driver: null, gpus: [], architecture: 'x86_64', kernel: null, criu: null, cpu: null },
      ...{ plugin: null, variants: null, interceptor: null, protocol: null, processes: 1 },
    },
    files: [{ name: 'core-1.img', size: bytes.length, mode: 0o600, modified: 1 }],
    blocks: [
      {
        ...{ kind: 'small', digest: digestOf(bytes), size: bytes.length },
        pieces: [{ offset: 0, length: bytes.length, sha256, file: 0, at: 0 }],
      },
    ],
  });

  async function made(description: Description, content: Buffer): Promise<string> {
    writeFileSync(plain, content);
    await compressFile(plain, compressed, undefined);
    const imagesDir = join(dir, 'images');
    mkdirSync(imagesDir);
    const file = { path: compressed, digest, isCompressed: true };
    await assemble(description, imagesDir, () => file, undefined).finally(() => {
      expect(readdirSync(imagesDir)).toEqual(['core-1.img']);
    });
    return join(imagesDir, 'core-1.img');
  }

  it('is what it was', async () => {
    const bytes = memory(3 * MIB);
    const path = await made(image(bytes, hexOf(digestOf(bytes))), bytes);
    expect(readFileSync(path).equals(bytes)).toBe(true);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['longer', (bytes) => Buffer.concat([bytes, bytes])],
    ['shorter', (bytes) => bytes.subarray(1)],
    ['different', (bytes) => Buffer.from(bytes).fill(1, 0, 10)],
  ])('is refused when the block is %s', async (_name, change) => {
    const bytes = memory(MIB);
    const failed = made(image(bytes, hexOf(digestOf(bytes))), change(bytes));
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_REGISTRY_IMAGE',
      message: expect.stringContaining(`block ${digest}`) as string,
    });
  });
});

it('a machine without zstd is told how to get it', () => {
  const before = process.env.PATH;
  process.env.PATH = dir;
  try {
    expect(requireZstd).toThrow('zstd is missing');
  } finally {
    process.env.PATH = before;
  }
});

it.each([
  ['application/x.small.v1+zstd', true],
  ['application/x.small.v1+zstd+age', true],
  ['application/x.small.v1+age', false],
  ['application/x.small.v1', false],
  ['application/x+zstd.small.v1', false],
])('%s', (mediaType, expected) => {
  expect(isCompressed({ mediaType })).toBe(expected);
});
