// SPDX-License-Identifier: MIT
/**
 * The contents of a report: the results of a directory, and earlier ones to compare with. A report never mixes
 * results of the software driver and of hardware.
 * @module
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  createResult,
  parseLimits,
  parseResult,
  readJson,
  type BenchmarkEnvironment,
  type BenchmarkResult,
  type Limits,
} from '../benchmark/index.ts';
import { parseSize } from '../size.ts';
import { UsageError } from '../errors.ts';

/** A result and the file it came from. */
export interface NamedResult {
  /** File name without `.json`. */
  name: string;
  /** Path of the file. */
  path: string;
  /** What the file holds. */
  result: BenchmarkResult;
}

/** A result and the earlier one of the same workload. */
export interface Comparison {
  /** Of this result. */
  now: NamedResult;
  /** Of the earlier result. */
  before: NamedResult;
  /** How the two environments differ, in words: other possible reasons for a difference. */
  differences: string[];
}

/** What a report is made from. */
export interface BenchmarkReport {
  /** Of the report. */
  title: string;
  /** On the software driver: the times mean nothing. */
  software: boolean;
  /** In the order of their names. */
  results: NamedResult[];
  /** The limits of the machine, if the directory has them. */
  limits: Limits | undefined;
  /** With earlier results, case by case. */
  comparisons: Comparison[];
  /** JSON files that are not benchmark results. */
  ignored: string[];
}

interface Loaded {
  results: NamedResult[];
  limits: Limits | undefined;
  ignored: string[];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function jsonFiles(path: string): string[] {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist`);
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => join(path, name));
}

function load(path: string): Loaded {
  const loaded: Loaded = { results: [], limits: undefined, ignored: [] };
  for (const file of jsonFiles(path)) {
    const value = readJson(file);
    if (isObject(value) && 'limits' in value) loaded.limits = parseLimits(value, file);
    else if (isObject(value) && 'samples' in value) {
      const result = parseResult(value, file);
      loaded.results.push({ name: basename(file, '.json'), path: file, result });
    } else loaded.ignored.push(file);
  }
  if (loaded.results.length === 0)
    throw new UsageError(
      `${path} contains no benchmark result`,
      'criu-cuda bench run --output DIR/NAME.json',
    );
  return loaded;
}

/** Times of the software driver say nothing about hardware, so the two are never compared. */
function refuseMixture(loaded: readonly { path: string; software: boolean }[]): void {
  const software = loaded.find((one) => one.software);
  const hardware = loaded.find((one) => !one.software);
  if (!software || !hardware) return;
  throw new UsageError(
    `${software.path} was measured on the software driver, ${hardware.path} on a GPU: they cannot be compared`,
    'keep them in separate directories',
  );
}

const comparedFields = {
  gpu: 'GPU',
  driver: 'driver',
  criu: 'CRIU',
  kernel: 'kernel',
  cpus: 'CPUs',
  transparentHugePages: 'transparent huge pages',
  pageCache: 'page cache',
} as const satisfies Partial<Record<keyof BenchmarkEnvironment, string>>;

/** How the environments of two measurements differ. */
export function environmentDifferences(now: BenchmarkResult, before: BenchmarkResult): string[] {
  const fields = (Object.keys(comparedFields) as (keyof typeof comparedFields)[]).flatMap((key) => {
    const [a, b] = [before.environment[key] ?? '–', now.environment[key] ?? '–'];
    return a === b ? [] : [`${comparedFields[key]}: ${a} → ${b}`];
  });
  const store = ({ environment: { imageStore } }: BenchmarkResult): string =>
    `${imageStore.type} (${imageStore.options})`;
  return store(before) === store(now) ? fields : [...fields, `image store: ${store(before)} → ${store(now)}`];
}

function compare(results: readonly NamedResult[], earlier: Loaded): Comparison[] {
  const comparisons = results.flatMap((now): Comparison[] => {
    const same = earlier.results.filter((one) => isDeepStrictEqual(one.result.workload, now.result.workload));
    const before = same.find((one) => one.name === now.name) ?? (same.length === 1 ? same[0] : undefined);
    if (!before || before.path === now.path) return [];
    return [{ now, before, differences: environmentDifferences(now.result, before.result) }];
  });
  if (comparisons.length === 0)
    throw new UsageError(
      'no earlier result has the workload of a current one (and its name, if more than one has)',
      `earlier: ${earlier.results.map(({ name, result }) => `${name} (${result.workload.join(' ')})`).join(', ')}`,
    );
  return comparisons;
}

/** The results with only the named cases, in that order: speedups are relative to the first. */
function selectCases(results: readonly NamedResult[], names: readonly string[]): NamedResult[] {
  const known = new Set(results.flatMap(({ result }) => result.cases.map((one) => one.name)));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined)
    throw new UsageError(`no result has a case "${unknown}"`, `cases: ${[...known].join(', ')}`);
  return results.flatMap((named) => {
    const { cases, samples } = named.result;
    const chosen = names.flatMap((name) => cases.find((one) => one.name === name) ?? []);
    if (chosen.length === 0) return [];
    const kept = samples.filter((sample) => chosen.some((one) => one.name === sample.case));
    const result = createResult({ ...named.result, cases: chosen, samples: kept }, chosen[0]?.name);
    return [{ ...named, result }];
  });
}

/** What is in a report. */
export interface BenchmarkReportOptions {
  /** An earlier result, or a directory of results, to compare with. */
  against?: string | undefined;
  /** Names of the cases to show. @default all */
  cases?: readonly string[] | undefined;
}

/**
 * Reads all results of a directory, or one file.
 * @throws {@link UsageError} when there is no result, no result has a named case, or results of the software driver
 * and of hardware are mixed
 */
export function loadReport(path: string, { against, cases }: BenchmarkReportOptions = {}): BenchmarkReport {
  const { results: all, limits, ignored } = load(path);
  const results = cases === undefined ? all : selectCases(all, cases);
  const earlier = against === undefined ? undefined : load(against);
  refuseMixture([
    ...[...results, ...(earlier?.results ?? [])].map((one) => ({
      path: one.path,
      software: one.result.environment.software,
    })),
    ...(limits === undefined ? [] : [{ path: 'limits', software: limits.software }]),
  ]);
  const [first] = results;
  return {
    title: first && results.length === 1 ? first.name : basename(path),
    software: first?.result.environment.software ?? false,
    results,
    limits,
    comparisons: earlier === undefined ? [] : compare(results, earlier),
    ignored,
  };
}

/** The device memory that `--alloc` requests from workload-pattern, in bytes. */
function allocatedBytes(workload: readonly string[]): number | undefined {
  let sum = 0;
  for (const [index, word] of workload.entries()) {
    if (word !== '--alloc') continue;
    const [, size = '', times = '1'] = /^(\w+?)(?:x(\d+))?$/.exec(workload[index + 1] ?? '') ?? [];
    if (!/^\d+[KMG]$/i.test(size)) return undefined;
    sum += parseSize(size) * Number(times);
  }
  return sum === 0 ? undefined : sum;
}

/**
 * Device memory of the workload in bytes; for other programs the size of their GPU image, `undefined` without one.
 */
export function deviceBytes({
  workload,
  samples,
}: Pick<BenchmarkResult, 'workload' | 'samples'>): number | undefined {
  const imaged = samples.flatMap((one) => one.deviceBytes ?? []);
  return allocatedBytes(workload) ?? (imaged.length === 0 ? undefined : Math.max(...imaged));
}
