// SPDX-License-Identifier: MIT
/**
 * What a restore takes besides copying, and rates for machines where `criu-cuda bench limits` has not run. All of it was
 * measured on an H200; docs/performance.md and benchmarks/results have the samples.
 * @module
 */
import type { Limits } from '../benchmark/index.ts';
import type { PluginVariant } from '../variant.ts';

/** GB/s, as `criu-cuda bench limits` writes them. */
export type Rates = Limits['limits'];

/** benchmarks/results/matrix/limits.json: images on a tmpfs in huge pages. */
export const h200Rates: Rates = {
  pcie: 55.531,
  pageable: 10.558,
  load: 53.364,
  store: 37.684,
  read: 61.07,
  pageFaults: 3.217,
};

/** Memory of that GPU in bytes. */
export const h200Bytes = 139.8 * 2 ** 30;

/** The rate of that machine's disk with O_DIRECT, GB/s: docs/performance.md, "The transfer engine alone". */
export const diskRate = 4.1;

/** Host memory becomes anonymous again: 1.2 GB in 82 ms in benchmarks/results/h200-server-thp-madvise.json. GB/s. */
export const hostRate = 14.6;

/** The parts of a restore that do not grow with the memory, in milliseconds, THP madvise. */
export const fixedMs: Readonly<Record<PluginVariant | 'full, prefetched', number>> = {
  // h200-64m-thp-madvise.json
  stock: 440,
  // h200-16g-no-interceptor-thp-madvise.json: 1962 ms, less 16 GiB at the pageable rate
  remap: 335,
  // h200-16g-thp-madvise.json, less 16 GiB at the load rate: 718, 465 ms; nothing is loaded where it was prefetched: 233 ms
  parallel: 395,
  full: 145,
  'full, prefetched': 233,
};
