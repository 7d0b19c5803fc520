// SPDX-License-Identifier: MIT
/**
 * What a benchmark compares: named cases, or every combination of settings.
 * @module
 */
import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { interceptorLibrary } from '../paths.ts';
import { transferEnv } from '../settings/index.ts';
import { isPluginVariant, pluginVariants, usesInterceptor, variantDir } from '../variant.ts';
import type { BenchmarkCase, CaseSettings } from './dump-restore.ts';

/** Variants that use the pool daemon when it runs. */
const pooled: readonly string[] = ['full'];

/** Cases with the pool daemon, and how each differs from `full`. */
const poolCases: Readonly<Record<string, Partial<BenchmarkCase>>> = {
  full: {},
  'full-no-daemon': { env: { CRIU_CUDA_CONTEXT_POOL: '0' } },
  'full-prefetched': { prefetch: true },
  'full-held': { env: { CRIU_CUDA_HOLD: '1' } },
  'full-standby': { standby: true },
};

/** All memory through the driver's custom storage, and no interceptor in the program. */
const driverCase = 'driver';

const coldStart = 'cold-start';

/** The names that `--cases` accepts, besides NAME=DIR. */
export const caseNames: readonly string[] = [
  coldStart,
  'upstream',
  ...pluginVariants,
  ...Object.keys(poolCases).filter((name) => !isPluginVariant(name)),
  driverCase,
];

function pluginCase(name: string, variant: string): BenchmarkCase {
  return {
    name,
    libdir: variantDir(variant as Parameters<typeof variantDir>[0]),
    ...(usesInterceptor(variant) ? { preload: interceptorLibrary() } : {}),
  };
}

/**
 * A case for any directory with a plugin. The directory comes first in PATH, for programs such as `cuda-checkpoint`
 * next to the plugin.
 */
function directoryCase(name: string, dir: string): BenchmarkCase {
  return { name, libdir: resolve(dir), path: resolve(dir) };
}

/**
 * Parses one case of `--cases`: a variant, `upstream`, a case with the pool daemon, or NAME=DIR. Each may end in
 * `@PROGRAM` to use a different criu.
 * @throws {@link UsageError} naming the case
 */
export function parseCase(word: string, upstream?: string): BenchmarkCase {
  const [, base = '', criu = ''] = /^([^@]+)@(.+)$/.exec(word) ?? [];
  if (criu !== '') return { ...parseCase(base, upstream), name: word, criu: resolve(criu) };
  const [, name = '', dir = ''] = /^([\w.-]+)=(.+)$/.exec(word) ?? [];
  if (dir !== '') return directoryCase(name, dir);
  if (word === coldStart) return { name: word, libdir: '', coldStart: true };
  if (word === 'upstream') {
    if (upstream === undefined)
      throw new UsageError(
        'case upstream needs --upstream DIR, a directory with cuda_plugin.so and cuda-checkpoint',
      );
    return directoryCase(word, upstream);
  }
  if (word === driverCase)
    return { name: word, libdir: variantDir('parallel'), env: { CRIU_CUDA_STORAGE: 'driver' } };
  const poolCase = poolCases[word];
  if (poolCase) return { ...pluginCase(word, 'full'), ...poolCase };
  if (!isPluginVariant(word))
    throw new UsageError(
      `"${word}" is not a case`,
      `cases: ${caseNames.join(', ')}, NAME=DIR; append @PATH to use a different criu`,
    );
  return pluginCase(word, word);
}

/** Whether a case needs the pool daemon. */
export function needsDaemon(one: BenchmarkCase): boolean {
  const usesPool = one.settings === undefined ? one.name in poolCases : pooled.includes(one.settings.variant);
  return usesPool && one.env?.CRIU_CUDA_CONTEXT_POOL !== '0';
}

/** The values of each setting; every combination that makes a difference becomes a case. */
export interface MatrixAxes {
  /** Variants, `upstream`, or NAME=DIR. */
  variants: readonly string[];
  /** CRIU_CUDA_STREAMS. */
  streams: readonly number[];
  /** CRIU_CUDA_CHUNK_MB. */
  chunksMb: readonly number[];
  /** CRIU_CUDA_CONTEXT_POOL, for variants that use the daemon. */
  pools: readonly (0 | 1)[];
  /** Directories for images. */
  stores: readonly string[];
  /** Whether the pool daemon loads the image before the restore; only where the pool is used. */
  prefetch: readonly boolean[];
}

type Combination = Omit<CaseSettings, 'variant' | 'store'>;

/** The combinations for a variant, without the settings that it does not read. */
function combinations(name: string, axes: MatrixAxes): Combination[] {
  const variant = name.replace(/@.*/, '');
  if (!usesInterceptor(variant)) return [{}];
  const pools: Combination[] = !pooled.includes(variant)
    ? [{}]
    : axes.pools.flatMap((pool) =>
        (pool === 1 ? axes.prefetch : [false]).map((prefetch) => ({ pool, prefetch })),
      );
  return axes.streams.flatMap((streams) =>
    axes.chunksMb.flatMap((chunkMb) => pools.map((pool) => ({ streams, chunkMb, ...pool }))),
  );
}

function matrixName(settings: CaseSettings, severalStores: boolean): string {
  const { variant, streams, chunkMb, pool, prefetch, store } = settings;
  return [
    variant,
    ...(streams === undefined ? [] : [`s${streams}`]),
    ...(chunkMb === undefined ? [] : [`c${chunkMb}`]),
    ...(pool === undefined ? [] : [`p${pool}`]),
    ...(prefetch === true ? ['prefetched'] : []),
    ...(severalStores ? [store ?? ''] : []),
  ].join(' ');
}

function matrixEnv({ pool, ...transfer }: Combination): Record<string, string> {
  return {
    ...transferEnv(transfer),
    ...(pool === undefined ? {} : { CRIU_CUDA_CONTEXT_POOL: String(pool) }),
  };
}

/**
 * All cases of a matrix, each once. Names contain the settings: `parallel s8 c4`.
 * @throws {@link UsageError} two plugins have the same name
 */
export function matrixCases(axes: MatrixAxes, upstream?: string): BenchmarkCase[] {
  const stores = axes.stores.map((store) => resolve(store));
  const cases = axes.variants.flatMap((word) => {
    const base = parseCase(word, upstream);
    return stores.flatMap((store) =>
      combinations(base.name, axes).map((combination): BenchmarkCase => {
        const settings: CaseSettings = { variant: base.name, store, ...combination };
        return {
          ...base,
          name: matrixName(settings, stores.length > 1),
          env: matrixEnv(combination),
          store,
          settings,
          ...(combination.prefetch === true ? { prefetch: true } : {}),
        };
      }),
    );
  });
  const distinct = new Map(cases.map((one) => [one.name, one]));
  const clash = cases.find((one) => distinct.get(one.name)?.libdir !== one.libdir);
  if (clash)
    throw new UsageError(`two plugins have the same name, ${clash.name}`, 'give them different names');
  return [...distinct.values()];
}
