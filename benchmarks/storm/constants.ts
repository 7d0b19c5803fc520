// SPDX-License-Identifier: MIT
/**
 * The constants of the model, each with its source. What nobody has measured is an assumption, with the range that docs/scale.md
 * tries. GB = 10⁹ bytes, times in seconds.
 */
import type { Storm } from './simulate.ts';

/** One constant. */
export interface Constant {
  /** The field of {@link Storm} that it sets. */
  field: keyof Storm;
  meaning: string;
  value: number;
  unit: string;
  /** Where it was measured: a file or page, and what of it. */
  source?: string;
  /** For what nobody measured: the lowest and the highest value that were tried. */
  range?: readonly [low: number, high: number];
  /** Why this value, for what nobody measured. */
  because?: string;
}

export const constants: readonly Constant[] = [
  {
    field: 'imageGB',
    meaning: 'image: device memory of the program',
    value: (16 * 2 ** 30) / 1e9,
    unit: 'GB',
    source: 'the 16 GiB of docs/performance.md, "Dump and restore"',
  },
  {
    field: 'loadRate',
    meaning: 'host memory to GPU, transfer engine',
    value: 53.364,
    unit: 'GB/s',
    source: '`load` in benchmarks/results/matrix/limits.json',
  },
  {
    field: 'restoreS',
    meaning: 'restore besides the load: CRIU, driver, verified',
    value: 0.145,
    unit: 's',
    source: 'docs/performance.md, "How long will a restore take?", `full`',
  },
  {
    field: 'prefetchedS',
    meaning: 'restore of an image that is in device memory',
    value: 0.233,
    unit: 's',
    source: 'the same table, `full`, prefetched',
  },
  {
    field: 'verifyRate',
    meaning: 'SHA-256 of a chunk, 8 threads',
    value: 11.5,
    unit: 'GB/s',
    range: [2.9, 23],
    because: '8 × 1.43 GB/s, one core in `openssl speed -evp sha256`; 2 and 16 threads',
  },
  {
    field: 'nicRate',
    meaning: 'network of a node, in each direction',
    value: 12.5,
    unit: 'GB/s',
    range: [1.25, 50],
    because: '100 Gbit/s Ethernet; 10 and 400',
  },
  {
    field: 'registryRate',
    meaning: 'what the registry sends, all nodes together',
    value: 12.5,
    unit: 'GB/s',
    range: [1.25, 125],
    because: 'one server with the same network; a tenth, and ten servers',
  },
  {
    field: 'registryLatencyS',
    meaning: 'from a request to the first byte, registry',
    value: 0.005,
    unit: 's',
    range: [0.0005, 0.1],
    because: 'HTTP in one data center; object stores take longer',
  },
  {
    field: 'peerLatencyS',
    meaning: 'the same, another node',
    value: 0.0005,
    unit: 's',
    range: [0.0001, 0.01],
    because: 'HTTP in one data center',
  },
  {
    field: 'chunkGB',
    meaning: 'chunk',
    value: 2 ** 26 / 1e9,
    unit: 'GB',
    range: [2 ** 24 / 1e9, 2 ** 28 / 1e9],
    because: '64 MiB; 16 and 256 MiB',
  },
  {
    field: 'window',
    meaning: 'chunks that a node has requested and not yet loaded',
    value: 8,
    unit: '',
    range: [4, 32],
    because: '512 MiB of staging buffers',
  },
  {
    field: 'fanOut',
    meaning: 'nodes that a node sends a chunk to',
    value: 2,
    unit: '',
    range: [1, 8],
    because: 'few steps, and each node sends a byte about once',
  },
  {
    field: 'spreadS',
    meaning: 'time over which the scheduler starts the nodes',
    value: 1,
    unit: 's',
    range: [0, 30],
    because: 'one command for all nodes',
  },
  {
    field: 'leadS',
    meaning: 'time from the prefetch to the restore',
    value: 10,
    unit: 's',
    range: [1, 60],
    because: 'prolog, and a container image that is unpacked',
  },
  {
    field: 'cachedShare',
    meaning: 'share of the nodes that have the image in host memory',
    value: 0,
    unit: '',
    range: [0, 0.9],
    because: 'a new version of the model',
  },
];

/** A storm of these constants. */
export function stormOf(
  own: Pick<Storm, 'nodes' | 'policy'> & Partial<Storm>,
  values: readonly Constant[] = constants,
): Storm {
  const set = Object.fromEntries(values.map(({ field, value }) => [field, value]));
  return { seed: 1, ...(set as Omit<Storm, 'seed' | 'nodes' | 'policy'>), ...own };
}
