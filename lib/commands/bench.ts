// SPDX-License-Identifier: MIT
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import {
  benchmarkDumpRestore,
  readEnvironment,
  summarize,
  type BenchmarkCase,
  type CaseSummary,
  type Spread,
} from '../benchmark/index.ts';
import { UsageError } from '../errors.ts';
import type { Io } from '../output.ts';
import { formatBytes, table } from '../output.ts';
import {
  interceptorLibrary,
  isPluginVariant,
  pluginVariants,
  softcudaLibrary,
  variantDir,
} from '../paths.ts';
import { poolStart, poolStop } from '../pool/index.ts';
import { withProgress } from '../progress.ts';
import { findCriu } from '../setup/index.ts';

interface BenchOptions {
  cases: string;
  upstream?: string;
  alloc: string[];
  rounds: number;
  warmup: number;
  store: string;
  out?: string;
}

const SCHEMA_VERSION = 1;
/** Variants whose device memory moves only in processes with the interceptor. */
const preloaded: readonly string[] = ['parallel'];

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError('not a whole number');
  return value;
}

/** Cases with the pool daemon: what is different from `full`. */
const poolCases: Record<string, Partial<BenchmarkCase>> = {
  full: {},
  'full-no-daemon': { env: { CRIU_CUDA_CONTEXT_POOL: '0' } },
  'full-prefetched': { prefetch: true },
  'full-held': { env: { CRIU_CUDA_HOLD: '1' } },
};
const caseNames = ['upstream', ...pluginVariants, ...Object.keys(poolCases).slice(1)];

function parseCase(word: string, upstream: string | undefined): BenchmarkCase {
  if (word === 'upstream') {
    if (upstream === undefined)
      throw new UsageError('case upstream needs --upstream DIR, with cuda_plugin.so and cuda-checkpoint');
    return { name: word, libdir: resolve(upstream), path: resolve(upstream) };
  }
  const preload = interceptorLibrary();
  const poolCase = poolCases[word];
  if (poolCase) return { name: word, libdir: variantDir('full'), preload, ...poolCase };
  if (!isPluginVariant(word)) throw new UsageError(`"${word}" is no case`, `cases: ${caseNames.join(', ')}`);
  return { name: word, libdir: variantDir(word), ...(preloaded.includes(word) ? { preload } : {}) };
}

const times = (spread: Spread): string =>
  `${(spread.median / 1000).toFixed(3)} (${(spread.min / 1000).toFixed(3)}–${(spread.max / 1000).toFixed(3)})`;

function summaryText(summaries: readonly CaseSummary[], software: boolean): string {
  const ratio = (value: number | undefined): string => (value === undefined ? '' : `${value.toFixed(2)}×`);
  const rows = summaries.map((one) => [
    one.case,
    times(one.dumpMs),
    ratio(one.ratio?.dumpMs),
    times(one.restoreMs),
    ratio(one.ratio?.restoreMs),
    times(one.verifiedMs),
    ratio(one.ratio?.verifiedMs),
    formatBytes(one.imageBytes),
  ]);
  const head = ['case', 'dump, s', '', 'restore, s', '', 'restore to verified, s', '', 'images'];
  const banner = software ? 'SOFTWARE DRIVER: these times mean nothing\n' : '';
  return `${banner}${table(head, rows)}\nmedian (min–max) of ${summaries[0]?.dumpMs.n ?? 0}, and ratio to the first case`;
}

async function runBench(io: Io, options: BenchOptions): Promise<void> {
  const cases = options.cases.split(',').map((word) => parseCase(word, options.upstream));
  const workload = options.alloc.flatMap((size) => ['--alloc', size]);
  const { criu } = await findCriu();
  if (criu === undefined) throw new UsageError('no usable CRIU', 'criu-cuda setup');
  const store = resolve(options.store);
  const software = process.env.CRIU_CUDA_DRIVER === softcudaLibrary();
  const pool = cases.some(({ name }) => name in poolCases)
    ? await poolStart({ signal: io.signal })
    : undefined;
  const samples = await withProgress(io, 'benchmark', (report) =>
    benchmarkDumpRestore({
      criu: criu.path,
      cases,
      workload,
      rounds: options.rounds,
      warmup: options.warmup,
      store,
      signal: io.signal,
      onSample: (sample) => {
        report(
          `round ${sample.round + 1} of ${options.rounds}, ${sample.case}: restored in ${sample.verifiedMs.toFixed(0)} ms`,
        );
      },
    }).finally(() => pool && poolStop()),
  );
  const summaries = summarize(samples, cases[0]?.name);
  const environment = await readEnvironment(store, criu, software);
  const result = {
    schemaVersion: SCHEMA_VERSION,
    environment,
    workload,
    cases: cases.map(({ name, preload, env }) => ({
      name,
      interceptor: preload !== undefined,
      env: env ?? {},
    })),
    summaries,
    samples,
  };
  if (options.out !== undefined) {
    mkdirSync(dirname(resolve(options.out)), { recursive: true });
    writeFileSync(options.out, `${JSON.stringify(result, null, 1)}\n`);
  }
  io.result(result, () => summaryText(summaries, software));
}

export function registerBench(program: Command, io: Io): void {
  program
    .command('bench')
    .description('time dump and restore of a workload, several plugins in turn; every run checks every byte')
    .option('--cases <list>', `${caseNames.join(', ')}, joined by commas; ratios are to the first`, 'stock')
    .option('--upstream <dir>', 'directory with CRIU’s own cuda_plugin.so and NVIDIA’s cuda-checkpoint')
    .option('--alloc <size...>', 'device memory of the workload, SIZE or SIZExCOUNT', ['64M'])
    .option('--rounds <n>', 'measured rounds', count, 5)
    .option('--warmup <n>', 'rounds before them', count, 1)
    .requiredOption('--store <dir>', 'where images go')
    .option('--out <file>', 'keep all samples as JSON')
    .action((options: BenchOptions) => runBench(io, options));
}
