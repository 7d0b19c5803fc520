// SPDX-License-Identifier: MIT
import { expect, it } from 'vitest';
import {
  artifactType,
  parseDescription,
  parseManifest,
  type Description,
} from '../../../lib/registry/format.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const sha256 = 'b'.repeat(64);

const good: Description = {
  ...{ schemaVersion: 1, tool: '0.2.0', created: '2026-01-02T03:04:05.000Z', isEncrypted: false },
  stack: {
    ...{ driver: 13_000, gpus: [], architecture: 'x86_64', kernel: null, criu: null, cpu: null },
    ...{ plugin: null, variants: null, interceptor: null, protocol: null, processes: 1 },
  },
  files: [
    { name: 'inventory.img', size: 10, mode: 0o600, modified: 1 },
    { name: 'cuda-1-0.img', size: 4096, mode: 0o600, modified: 1, block: 1 },
  ],
  blocks: [
    { kind: 'small', digest, size: 10, pieces: [{ offset: 0, length: 10, sha256, file: 0, at: 0 }] },
    { kind: 'stripe', digest, size: 4096, pieces: [{ offset: 0, length: 4096, sha256 }] },
  ],
};

const changed = (change: (description: Description) => void): string => {
  const copy = structuredClone(good);
  change(copy);
  return JSON.stringify(copy);
};

it('a description is read', () => {
  expect(parseDescription(JSON.stringify(good), 'x')).toEqual(good);
});

const one = <T>(list: readonly T[], index: number): T => {
  const found = list[index];
  if (found === undefined) throw new Error('the fixture has fewer');
  return found;
};

it.each<[string, (description: Description) => void]>([
  ['a name that leads out of the directory', ({ files }) => (one(files, 0).name = '../evil')],
  ['a name with a directory', ({ files }) => (one(files, 0).name = 'a/b')],
  ['a name that begins with a dot', ({ files }) => (one(files, 0).name = '.bashrc')],
  ['two files of one name', ({ files }) => (one(files, 1).name = 'inventory.img')],
  ['a file that is not its block', ({ files }) => (one(files, 1).size = 8192)],
  ['a block that is not there', ({ files }) => (one(files, 1).block = 7)],
  ['a piece beyond its block', ({ blocks }) => (one(one(blocks, 0).pieces, 0).length = 11)],
  ['a piece beyond its file', ({ blocks }) => (one(one(blocks, 0).pieces, 0).at = 1)],
  ['a piece of a file that is not there', ({ blocks }) => (one(one(blocks, 0).pieces, 0).file = 9)],
  ['a piece of a file that is a block', ({ blocks }) => (one(one(blocks, 0).pieces, 0).file = 1)],
  ['pieces that overlap', ({ blocks }) => one(blocks, 0).pieces.push(one(one(blocks, 0).pieces, 0))],
  ['a mode with set-user-ID', ({ files }) => (one(files, 0).mode = 0o4755)],
  ['a piece without bytes', ({ blocks }) => (one(one(blocks, 0).pieces, 0).length = 0)],
  ['a piece at half a byte', ({ blocks }) => (one(one(blocks, 1).pieces, 0).offset = 0.5)],
  ['a piece before its block', ({ blocks }) => (one(one(blocks, 1).pieces, 0).offset = -1)],
  ['a piece beyond all numbers', ({ blocks }) => (one(one(blocks, 1).pieces, 0).offset = 2 ** 53)],
  ['a piece before its file', ({ blocks }) => (one(one(blocks, 0).pieces, 0).at = -1)],
  ['a checksum of another length', ({ blocks }) => (one(one(blocks, 1).pieces, 0).sha256 = sha256.slice(1))],
  ['no piece', ({ blocks }) => Object.assign(one(blocks, 0), { pieces: [null] })],
  ['no pieces', ({ blocks }) => Object.assign(one(blocks, 0), { pieces: {} })],
  ['a block of another kind', ({ blocks }) => Object.assign(one(blocks, 0), { kind: 'other' })],
  ['an empty block', ({ blocks }) => blocks.push({ kind: 'small', digest, size: 0, pieces: [] })],
  ['no block', ({ blocks }) => Object.assign(blocks, { 1: null })],
  ['a file without a time', ({ files }) => Object.assign(one(files, 0), { modified: '1' })],
  ['a file of a size that is text', ({ files }) => Object.assign(one(files, 0), { size: '10' })],
  ['a file of a block before the first', ({ files }) => (one(files, 1).block = -1)],
  ['no files', (description) => Object.assign(description, { files: null })],
  ['a digest of another kind', ({ blocks }) => (one(blocks, 0).digest = 'md5:00')],
  ['a later version', (description) => Object.assign(description, { schemaVersion: 2 })],
])('%s is refused', (_name, change) => {
  expect(() => parseDescription(changed(change), 'r.example/a:1')).toThrow(
    'the description of r.example/a:1 is damaged',
  );
});

it('a manifest of something else is refused', () => {
  const config = { mediaType: 'x/y', digest, size: 2 };
  const manifest = { schemaVersion: 2, artifactType, config, layers: [] };
  expect(parseManifest(JSON.stringify(manifest), 'r').layers).toEqual([]);
  const wrongOnes = [
    { ...manifest, artifactType: undefined },
    { ...manifest, layers: undefined },
    { ...manifest, layers: [{ ...config, digest: 'sha256:00' }] },
    { ...manifest, layers: [{ ...config, size: -1 }] },
    { ...manifest, layers: [null] },
    { ...manifest, config: undefined },
    [],
  ];
  for (const wrong of wrongOnes)
    expect(() => parseManifest(JSON.stringify(wrong), 'r')).toThrow('r is not a checkpoint of criu-cuda');
  expect(() => parseManifest('<html>', 'r')).toThrow('the manifest of r is damaged');
});
