// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import type { Gpu } from '../../../lib/gpu/index.ts';
import { chooseGpus, visibleGpus } from '../../../lib/registry/gpus.ts';

const GIB = 2 ** 30;
const TYPE = 'NVIDIA H200';

const gpu = (index: number, freeGib = 140, name = TYPE): Gpu => ({
  ...{ index, uuid: `GPU-here-${index}`, name, pciAddress: null },
  memory: { totalBytes: 140 * GIB, freeBytes: freeGib * GIB, usedBytes: (140 - freeGib) * GIB },
  ...{ linkGeneration: null, linkWidth: null, maxLinkGeneration: null, maxLinkWidth: null },
});
const needed = (uuid: string, gib = 16, name = TYPE) => ({ uuid, name, bytes: gib * GIB });

describe('GPUs for an image', () => {
  it('are the same ones where they are here', () => {
    expect(chooseGpus([needed('GPU-here-1')], [gpu(0), gpu(1, 20)])).toEqual({ map: [], problems: [] });
  });

  it('are others of the same type, those with most free memory', () => {
    const { map, problems } = chooseGpus(
      [needed('GPU-there')],
      [gpu(0, 50), gpu(1, 80), gpu(2, 140, 'NVIDIA A100')],
    );
    expect([map, problems]).toEqual([[['GPU-there', 'GPU-here-1']], []]);
  });

  it('keep what is here for the one that it was', () => {
    const { map } = chooseGpus([needed('GPU-there', 100), needed('GPU-here-0')], [gpu(0), gpu(1, 120)]);
    expect(new Map(map)).toEqual(
      new Map([
        ['GPU-here-0', 'GPU-here-0'],
        ['GPU-there', 'GPU-here-1'],
      ]),
    );
  });

  it.each([
    ['none', [], 'it needs a GPU of the type NVIDIA H200; this machine has no GPU'],
    ['another type', [gpu(0, 140, 'NVIDIA A100')], 'this machine has NVIDIA A100'],
    [
      'too little free',
      [gpu(0, 8)],
      'it needs 16 GiB of free device memory on one NVIDIA H200; 8 GiB are free',
    ],
  ])('%s', (_name, gpus, text) => {
    expect(chooseGpus([needed('GPU-there')], gpus).problems).toEqual([expect.stringContaining(text)]);
  });

  it('too small, and too few', () => {
    expect(chooseGpus([needed('GPU-there', 200)], [gpu(0)]).problems).toEqual([
      'it needs 200 GiB of device memory on one NVIDIA H200; those here have 140 GiB',
    ]);
    expect(chooseGpus([needed('GPU-a'), needed('GPU-b')], [gpu(0)]).problems).toEqual([
      'it needs one more NVIDIA H200 with 16 GiB of free device memory',
    ]);
  });
});

describe('CUDA_VISIBLE_DEVICES', () => {
  const gpus = [gpu(0), gpu(1), gpu(2)];
  it.each([
    [undefined, [0, 1, 2]],
    ['1', [1]],
    ['2,0', [2, 0]],
    ['GPU-here-2', [2]],
    ['', []],
    ['-1', []],
    ['NoDevFiles', []],
  ])('%s', (words, indexes) => {
    expect(visibleGpus(gpus, words).map(({ index }) => index)).toEqual(indexes);
  });
});
