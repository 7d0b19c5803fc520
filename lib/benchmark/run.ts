// SPDX-License-Identifier: MIT
/**
 * A complete benchmark: environment, pool daemon, samples with a journal, result.
 * @module
 */
import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { usesSoftwareDriver } from '../gpu/index.ts';
import { currentSystem, findCriu, noCriuError } from '../machine/index.ts';
import { BenchmarkDaemon } from './daemon.ts';
import {
  benchmarkDumpRestore,
  type BenchmarkCase,
  type DumpRestoreOptions,
  type OtherProgram,
  type PageCache,
  type Sample,
} from './dump-restore.ts';
import { readEnvironment, type BenchmarkEnvironment } from './environment.ts';
import { Journal } from './journal.ts';
import { createResult, writeResult, type BenchmarkResult } from './result.ts';
import { checkCount, checkPath } from '../check.ts';

/** How far a benchmark has come. */
export interface BenchmarkProgress {
  /** Finished runs, including warm-ups. */
  done: number;
  /** Number of runs after which the benchmark is done, without those of an interrupted session. */
  total: number;
  /** Estimate from the runs so far. Milliseconds. */
  remainingMs: number;
  /** The run that has just finished. */
  sample: Sample;
}

/** A complete benchmark. */
export interface BenchmarkRun {
  /** The cases, each measured once per round. */
  cases: readonly BenchmarkCase[];
  /** Options of workload-pattern. */
  workload: readonly string[];
  /** A program to measure instead of workload-pattern. */
  program?: OtherProgram | undefined;
  /** Measures one sample, see {@link benchmarkDumpRestore}. @default a dump and a restore of the workload */
  measure?: NonNullable<DumpRestoreOptions['measure']> | undefined;
  /** Options of `measure`: a run is continued only if they are the same. */
  measureOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Measured rounds, at least 1. */
  rounds: number;
  /** Rounds before those, which are not counted. */
  warmup: number;
  /** Directory for the images. */
  store: string;
  /** State of the page cache before each restore. */
  pageCache: PageCache;
  /** JSON file for the result; the CSV file and, until the end, the journal are next to it. */
  out?: string | undefined;
  /** What was typed, to be kept with the result. */
  command?: readonly string[] | undefined;
  /** What the measured time ends with. @default verified */
  until?: BenchmarkResult['until'];
  /** Discards an interrupted run. */
  restart?: boolean | undefined;
  /** Stops the benchmark. */
  signal?: AbortSignal | undefined;
  /** Called after every sample. */
  onProgress?: ((progress: BenchmarkProgress) => void) | undefined;
}

interface Criu {
  path: string;
  version: string | undefined;
}

async function usableCriu(): Promise<Criu> {
  const { criu, rejected } = await findCriu(currentSystem(), { check: false });
  if (criu === undefined) throw noCriuError(rejected);
  return criu;
}

async function environmentOf(run: BenchmarkRun, criu: Criu): Promise<BenchmarkEnvironment> {
  const software = await usesSoftwareDriver();
  const stores = [...new Set(run.cases.map((one) => one.store ?? resolve(run.store)))];
  const [first, ...others] = await Promise.all(stores.map((store) => readEnvironment(store, criu, software)));
  if (!first) throw new UsageError('there is no case to measure');
  return {
    ...first,
    ...(others.length === 0 ? {} : { imageStores: [first, ...others].map(({ imageStore }) => imageStore) }),
    pageCache: run.pageCache,
  };
}

/** What must be the same for a run to continue an interrupted one. */
function planOf({
  cases,
  workload,
  program,
  measureOptions,
  rounds,
  store,
  pageCache,
}: BenchmarkRun): Record<string, unknown> {
  return { cases, workload, program, measureOptions, rounds, store: resolve(store), pageCache };
}

/** Counts runs and estimates how long the rest will take. */
function progressOf(run: BenchmarkRun, done: number): (sample: Sample) => void {
  const total = run.cases.length * (run.rounds + run.warmup) - done;
  const start = performance.now();
  let finished = 0;
  return (sample) => {
    finished += 1;
    const remainingMs = ((performance.now() - start) / finished) * Math.max(0, total - finished);
    run.onProgress?.({ done: finished, total, remainingMs, sample });
  };
}

/**
 * Measures all cases in turn. If interrupted, it leaves the journal, and the same call continues from there.
 * @throws {@link UsageError} a wrong option, or a journal of a different run
 * @throws {@link BenchmarkError} memory of a restored process differs
 */
export async function runBenchmark(run: BenchmarkRun): Promise<BenchmarkResult> {
  checkPath('store', run.store);
  checkCount('rounds', run.rounds, 1);
  checkCount('warmup', run.warmup, 0);
  const twice = run.cases.find((one, index) => run.cases.findIndex(({ name }) => name === one.name) < index);
  if (twice) throw new UsageError(`two cases have the same name, ${twice.name}`, 'give them different names');
  const criu = await usableCriu();
  const environment = await environmentOf(run, criu);
  const journal =
    run.out === undefined ? undefined : Journal.open(run.out, planOf(run), environment, run.restart ?? false);
  const report = progressOf(run, journal?.samples.length ?? 0);
  const daemon = new BenchmarkDaemon(run.signal);
  const fresh = await benchmarkDumpRestore({
    ...run,
    criu: criu.path,
    store: resolve(run.store),
    prepare: (one) => daemon.prepare(one),
    isDone: (name, round) => journal?.has(name, round) ?? false,
    onSample: (sample) => {
      if (sample.round >= 0) journal?.add(sample);
      report(sample);
    },
  }).finally(() => daemon.stop());
  const result = createResult({
    environment: journal?.environment ?? environment,
    workload: [...run.workload],
    cases: run.cases.map(({ name, preload, env, settings }) => ({
      name,
      interceptor: preload !== undefined,
      env: env ?? {},
      settings,
    })),
    samples: [...(journal?.samples ?? fresh)],
    ...(run.command === undefined ? {} : { command: [...run.command] }),
    until: run.until ?? 'verified',
  });
  if (run.out !== undefined) writeResult(run.out, result);
  journal?.remove();
  return result;
}
