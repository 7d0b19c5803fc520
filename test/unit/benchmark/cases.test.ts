// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import {
  matrixCases,
  needsDaemon,
  parseCase,
  runBenchmark,
  type MatrixAxes,
} from '../../../lib/benchmark/index.ts';
import { goldenCases } from '../../../lib/golden/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';

const axes: MatrixAxes = {
  variants: ['stock', 'parallel'],
  streams: [1, 8],
  chunksMb: [4, 32],
  pools: [0, 1],
  stores: ['/a'],
  prefetch: [false],
};

it('a golden benchmark rejects cases that differ only in the pool daemon', () => {
  expect(goldenCases(['full', 'mine=/one']).map(({ name }) => name)).toEqual(['full', 'mine']);
  for (const word of ['cold-start', 'full-prefetched'])
    expect(() => goldenCases([word])).toThrow(`${word} is not a variant`);
});

it('two cases with the same name are refused before anything runs', async () => {
  const cases = ['mine=/one', 'mine=/two'].map((word) => parseCase(word));
  const rest = { workload: [], rounds: 1, warmup: 0, store: '/nowhere', pageCache: 'warm' } as const;
  await expect(runBenchmark({ cases, ...rest })).rejects.toThrow('two cases have the same name, mine');
});

describe('matrixCases', () => {
  it('combines the settings that a variant reads, and leaves out the others', () => {
    const cases = matrixCases(axes);
    expect(cases.map((one) => one.name)).toEqual([
      'stock',
      'parallel s1 c4',
      'parallel s1 c32',
      'parallel s8 c4',
      'parallel s8 c32',
    ]);
    expect(cases[0]).toMatchObject({ libdir: variantDir('stock'), env: {} });
    expect(cases[0]).not.toHaveProperty('preload');
    expect(cases[4]).toMatchObject({
      libdir: variantDir('parallel'),
      preload: interceptorLibrary(),
      env: { CRIU_CUDA_STREAMS: '8', CRIU_CUDA_CHUNK_MB: '32' },
      settings: { variant: 'parallel', streams: 8, chunkMb: 32, store: '/a' },
      store: '/a',
    });
  });

  it('refuses two plugins with the same name', () => {
    const variants = ['mine=/one', 'mine=/two'];
    expect(() => matrixCases({ ...axes, variants })).toThrow('two plugins have the same name, mine');
  });

  it('prefetches only where the pool is used, and names the stores if there are more than one', () => {
    const cases = matrixCases({
      ...axes,
      variants: ['full'],
      streams: [8],
      chunksMb: [4],
      stores: ['/a', '/b'],
      prefetch: [false, true],
    });
    expect(cases.map((one) => one.name)).toEqual(
      ['/a', '/b'].flatMap((store) => [
        `full s8 c4 p0 ${store}`,
        `full s8 c4 p1 ${store}`,
        `full s8 c4 p1 prefetched ${store}`,
      ]),
    );
    expect(cases.map(needsDaemon)).toEqual([false, true, true, false, true, true]);
    expect(cases.map((one) => one.prefetch ?? false)).toEqual([false, false, true, false, false, true]);
  });

  it('runs each combination once', () => {
    expect(matrixCases({ ...axes, variants: ['stock', 'stock'], streams: [8, 8] })).toHaveLength(1);
  });
});

describe('parseCase', () => {
  it('accepts any plugin directory under a name', () => {
    expect(parseCase('mine=/opt/plugin')).toEqual({
      name: 'mine',
      libdir: '/opt/plugin',
      path: '/opt/plugin',
    });
  });

  it('accepts a criu program with any of them', () => {
    expect(parseCase('stock@/opt/criu')).toEqual({
      ...parseCase('stock'),
      name: 'stock@/opt/criu',
      criu: '/opt/criu',
    });
  });

  it('names an unknown word', () => {
    expect(() => parseCase('fast')).toThrow('"fast" is not a case');
    expect(() => parseCase('upstream')).toThrow('--upstream DIR');
  });
});
