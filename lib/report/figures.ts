// SPDX-License-Identifier: MIT
/**
 * The numbers behind tables and charts.
 * @module
 */
import { median, quantile } from 'simple-statistics';
import {
  valuesOf,
  type BenchmarkResult,
  type CaseSummary,
  type Interval,
  type Measure,
  type ResultCase,
  type SamplePhase,
} from '../benchmark/index.ts';
import { formatBytes } from '../output.ts';

export const measureNames: Readonly<Record<Measure, string>> = {
  dumpMs: 'dump',
  restoreMs: 'restore',
  verifiedMs: 'restore to verified',
};

export interface PhaseMedian {
  /** `criu: restore` */
  name: string;
  part: SamplePhase['part'];
  ms: number;
}

const VERIFIED = 'until verified';
/** The last phase of a restore. */
export const untilVerified = `application: ${VERIFIED}`;

/**
 * The median of each phase of one case. A restore does not end with criu: the application waits for its memory, and
 * every byte is verified.
 */
export function phaseMedians(
  result: BenchmarkResult,
  caseName: string,
  what: 'dump' | 'restore',
): PhaseMedian[] {
  const samples = result.samples.filter((sample) => sample.case === caseName);
  const times = new Map<string, { part: PhaseMedian['part']; values: number[] }>();
  const add = (part: PhaseMedian['part'], name: string, value: number): void => {
    const key = `${part}: ${name}`;
    const entry = times.get(key) ?? { part, values: [] };
    entry.values.push(value);
    times.set(key, entry);
  };
  for (const sample of samples) {
    const phases = what === 'dump' ? sample.dumpPhases : sample.restorePhases;
    for (const { part, name, durationMs } of phases) add(part, name, durationMs);
    if (what === 'restore') add('application', VERIFIED, Math.max(0, sample.verifiedMs - sample.restoreMs));
  }
  return [...times].map(([name, { part, values }]) => ({ name, part, ms: median(values) }));
}

/** A phase of one or more cases, and the class of its color. */
export interface PhaseColor {
  name: string;
  part: PhaseMedian['part'];
  /** `criu-0`: the part, and which of its shades. */
  color: string;
}

/** A phase this many times shorter than the longest one is narrower than a pixel. */
const INVISIBLE = 1000;

/** The phases of all cases in the order in which they are drawn, and the median of each. */
export interface Phases {
  phases: PhaseColor[];
  /** Milliseconds; 0 where a case does not have the phase. */
  of: (caseName: string, phase: string) => number;
}

/** The phases of all cases; the application's come last, with its verification at the very end. */
export function phasesOf(result: BenchmarkResult, what: 'dump' | 'restore'): Phases {
  const medians = new Map(result.summaries.map((one) => [one.case, phaseMedians(result, one.case, what)]));
  const every = [...medians.values()].flat();
  const longest = Math.max(0, ...every.map(({ ms }) => ms));
  const place = ({ part, name }: PhaseMedian): number =>
    name === untilVerified ? 2 : Number(part === 'application');
  const visible = every
    .filter(({ ms }) => ms > 0 && ms >= longest / INVISIBLE)
    .sort((a, b) => place(a) - place(b));
  const used: Partial<Record<PhaseMedian['part'], number>> = {};
  const phases = [...new Map(visible.map(({ name, part }) => [name, part]))].map(([name, part]) => {
    const shade = used[part] ?? 0;
    used[part] = shade + 1;
    return { name, part, color: `${part}-${shade % 5}` };
  });
  const of = (caseName: string, phase: string): number =>
    medians.get(caseName)?.find(({ name }) => name === phase)?.ms ?? 0;
  return { phases, of };
}

export interface Box {
  min: number;
  q1: number;
  median: number;
  q3: number;
  max: number;
}

export function boxOf(values: readonly number[]): Box {
  const at = (p: number): number => quantile([...values], p);
  return { min: at(0), q1: at(0.25), median: at(0.5), q3: at(0.75), max: at(1) };
}

/** Cells of one streams × chunk map; `undefined` where nothing was measured. */
export interface HeatMap {
  /** What all of its cases share: variant, pool, and the store if there is more than one. */
  title: string;
  streams: number[];
  chunksMb: number[];
  /** [row of streams][column of chunks], median of restore to verified. Milliseconds. */
  cells: (number | undefined)[][];
}

const ascending = (values: Iterable<number>): number[] => [...new Set(values)].sort((a, b) => a - b);

function groupTitle(
  { variant, pool, prefetch, store }: NonNullable<ResultCase['settings']>,
  severalStores: boolean,
): string {
  const words = [
    variant,
    ...(pool === undefined ? [] : [pool === 1 ? 'pool' : 'no pool']),
    ...(prefetch === true ? ['prefetched'] : []),
    ...(severalStores && store !== undefined ? [store] : []),
  ];
  return words.join(', ');
}

/** One map per variant, pool, prefetch and store that has more than one cell. */
export function heatMaps(result: BenchmarkResult): HeatMap[] {
  const groups = new Map<string, { streams: number; chunkMb: number; ms: number }[]>();
  const severalStores = new Set(result.cases.map(({ settings }) => settings?.store)).size > 1;
  for (const { name, settings } of result.cases) {
    if (settings?.streams === undefined || settings.chunkMb === undefined) continue;
    const values = valuesOf(result.samples, name, 'verifiedMs');
    if (values.length === 0) continue;
    const title = groupTitle(settings, severalStores);
    const cell = { streams: settings.streams, chunkMb: settings.chunkMb, ms: median(values) };
    groups.set(title, [...(groups.get(title) ?? []), cell]);
  }
  return [...groups]
    .filter(([, cells]) => cells.length > 1)
    .map(([title, cells]) => {
      const streams = ascending(cells.map((cell) => cell.streams));
      const chunksMb = ascending(cells.map((cell) => cell.chunkMb));
      return {
        title,
        streams,
        chunksMb,
        cells: streams.map((s) =>
          chunksMb.map((c) => cells.find((cell) => cell.streams === s && cell.chunkMb === c)?.ms),
        ),
      };
    });
}

export const seconds = (ms: number): string => (ms / 1000).toFixed(3);

/** A speedup with three significant digits: `13.2×`, `1.04×`, `0.95×`. */
export const speedupText = (speedup: number): string =>
  `${speedup.toFixed(speedup < 10 ? 2 : speedup < 100 ? 1 : 0)}×`;

/** The bounds of a speedup, from those of the ratio of times. */
export function speedupRange([low, high]: Interval): string {
  return `${speedupText(1 / high).slice(0, -1)}–${speedupText(1 / low)}`;
}

function plainSpeedup(summary: CaseSummary, measure: Measure): string {
  const ratio = summary.ratio?.[measure];
  return ratio === undefined ? '' : speedupText(1 / ratio);
}

function speedupWithInterval(summary: CaseSummary, measure: Measure): string {
  const interval = summary.ratioInterval?.[measure];
  const speedup = plainSpeedup(summary, measure);
  return interval ? `${speedup} (${speedupRange(interval)})` : speedup;
}

/** Median over the samples of a case that have a value, as text; empty without one. */
function medianText(
  { samples }: BenchmarkResult,
  name: string,
  value: (sample: BenchmarkResult['samples'][number]) => number | undefined,
  text: (median: number) => string,
): string {
  const values = samples.filter((sample) => sample.case === name).flatMap((sample) => value(sample) ?? []);
  return values.length === 0 ? '' : text(median(values));
}

/** What a cold start of a server consists of. */
const coldParts = ['start', 'load', 'first token'] as const;

/** The table of one result: a row per case. "typed" and "library" are times from restore to verified. */
export function summaryCells(result: BenchmarkResult): { head: string[]; rows: string[][] } {
  const isAlone = result.summaries.length === 1;
  const head = [
    'case',
    'cold start, s',
    ...coldParts.map((name) => `${name}, s`),
    'dump typed, s',
    'dump, s',
    'dump speedup',
    'restore, s',
    'restore speedup',
    'typed, s',
    'library, s',
    'p10–p90, s',
    'speedup',
    'tokens/s',
    'images',
  ];
  const rows = result.summaries.map((one) => [
    one.case,
    one.coldMs === undefined ? '' : seconds(one.coldMs.median),
    ...coldParts.map((part) =>
      medianText(
        result,
        one.case,
        ({ coldPhases }) => coldPhases?.find(({ name }) => name === part)?.durationMs,
        seconds,
      ),
    ),
    one.dumpTypedMs === undefined ? '' : seconds(one.dumpTypedMs.median),
    one.imageBytes === 0 ? '' : seconds(one.dumpMs.median),
    isAlone ? '' : plainSpeedup(one, 'dumpMs'),
    seconds(one.restoreMs.median),
    isAlone ? '' : plainSpeedup(one, 'restoreMs'),
    one.typedMs === undefined ? '' : seconds(one.typedMs.median),
    seconds(one.verifiedMs.median),
    `${seconds(one.verifiedMs.p10)}–${seconds(one.verifiedMs.p90)}`,
    isAlone ? '' : speedupWithInterval(one, 'verifiedMs'),
    medianText(
      result,
      one.case,
      ({ tokensPerSecond }) => tokensPerSecond,
      (rate) => rate.toFixed(1),
    ),
    one.imageBytes === 0 ? '' : formatBytes(one.imageBytes),
  ]);
  return { head, rows };
}

/** The rows that say where a result was measured. */
export function environmentCells({ environment, workload }: BenchmarkResult): [string, string][] {
  const { gpu, driver, imageStore, imageStores, software } = environment;
  const stores = imageStores ?? [imageStore];
  return [
    ['measured', environment.date],
    ['workload', workload.join(' ')],
    ['GPU', software ? 'software driver' : `${gpu ?? 'unknown'}, driver ${driver ?? 'unknown'}`],
    ['CRIU', environment.criu],
    ['kernel', environment.kernel],
    ['CPUs', environment.cpus],
    ['memory', formatBytes(environment.memory)],
    ['transparent huge pages', environment.transparentHugePages],
    ...stores.map(({ path, type, options }): [string, string] => [
      'image store',
      `${path}: ${type} (${options})`,
    ]),
    ['page cache before a restore', environment.pageCache ?? 'warm'],
  ];
}
