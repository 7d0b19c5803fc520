// SPDX-License-Identifier: MIT
/**
 * What a result says at first sight: the reference, the best few cases, the words for each case, and one sentence.
 * @module
 */
import { basename } from 'node:path';
import type { BenchmarkResult, CaseSummary, ResultCase } from '../benchmark/index.ts';
import { seconds, speedupRange, speedupText } from './figures.ts';

/** How many cases are shown besides the reference and the cold start. */
const FEW = 5;

/** The cases of one result, in the order in which a reader compares them. */
export interface Story {
  /** What the others are compared with. */
  reference: CaseSummary;
  /** The case with the shortest time; `undefined` if only the reference, or only cold starts, were measured. */
  best: CaseSummary | undefined;
  /** Every case, quickest first. */
  all: CaseSummary[];
  /** The same, but only the best few, the reference and the cold start. */
  few: CaseSummary[];
}

/** Whether it was measured without a checkpoint. */
export const isColdStart = ({ case: name }: Pick<CaseSummary, 'case'>): boolean => name === 'cold-start';

/** Sorts the cases, and picks those to show first. */
export function storyOf({ summaries, reference: name }: BenchmarkResult): Story {
  const all = [...summaries].sort((a, b) => a.verifiedMs.median - b.verifiedMs.median);
  const reference = all.find((one) => one.case === name) ?? all[0];
  if (!reference) throw new Error('a result has at least one case');
  const restored = all.filter((one) => one !== reference && !isColdStart(one));
  const best = new Set(restored.slice(0, FEW));
  const few = all.filter((one) => one === reference || isColdStart(one) || best.has(one));
  return { reference, best: restored[0], all, few };
}

function settingsLabel(
  { variant, streams, chunkMb, pool, prefetch, store }: NonNullable<ResultCase['settings']>,
  severalStores: boolean,
): string {
  const words = [
    variant === 'cold-start' ? 'cold start' : variant,
    ...(streams === undefined ? [] : [`${streams} ${streams === 1 ? 'thread' : 'threads'}`]),
    ...(chunkMb === undefined ? [] : [`${chunkMb} MiB`]),
    ...(pool === undefined ? [] : [pool === 1 ? 'pool' : 'no pool']),
    ...(prefetch === true ? ['prefetched'] : []),
    ...(severalStores && store !== undefined ? [store] : []),
  ];
  return words.join(', ');
}

/** What a case is called in a report: `full, 8 threads, 8 MiB, pool` rather than `full s8 c8 p1`. */
export function caseLabels({ cases }: Pick<BenchmarkResult, 'cases'>): (name: string) => string {
  const severalStores = new Set(cases.map(({ settings }) => settings?.store)).size > 1;
  const label = ({ name, settings }: ResultCase): string => {
    if (settings !== undefined) return settingsLabel(settings, severalStores);
    return name === 'cold-start' ? 'cold start' : name;
  };
  const labels = new Map(cases.map((one) => [one.name, label(one)]));
  return (name) => labels.get(name) ?? name;
}

const meanings: readonly (readonly [RegExp, string, string])[] = [
  [/^cold-start/, 'cold start', 'the program is started; no checkpoint'],
  [/^upstream/, 'upstream', "CRIU's own CUDA plugin with NVIDIA's cuda-checkpoint"],
  [/^stock/, 'stock', "our plugin: the driver's checkpoint API inside criu"],
  [/^remap/, 'remap', 'stock, and many threads move host memory'],
  [/^parallel/, 'parallel', 'remap, and many threads move GPU memory while CRIU works'],
  [/^full/, 'full', 'parallel, and a pool daemon, where it runs'],
  [/^full-no-daemon/, 'full-no-daemon', 'the pool daemon is not used'],
  [/^full-prefetched| prefetched/, 'prefetched', 'the pool daemon has loaded the image before the restore'],
  [/^full-held/, 'full-held', 'the pool daemon keeps the image in GPU memory from the dump'],
  [/^full-standby/, 'full-standby', 'restored ahead of time; the time is that of waking it'],
  [/ s\d+/, 'threads', 'copy GPU memory at the same time (CRIU_CUDA_STREAMS)'],
  [/ c\d+/, 'MiB', 'what each thread copies at once: the chunk (CRIU_CUDA_CHUNK_MB)'],
  [
    / p[01]/,
    'pool, no pool',
    'the pool daemon has contexts and buffers ready, or not (CRIU_CUDA_CONTEXT_POOL)',
  ],
  [/@/, '@', 'path of a different criu program'],
];

/** The words in the cases' labels and what they mean; only those that occur. */
export function settingsKey({ cases }: Pick<BenchmarkResult, 'cases'>): [string, string][] {
  return meanings
    .filter(([pattern]) => cases.some(({ name }) => pattern.test(name)))
    .map(([, word, meaning]) => [word, meaning]);
}

/** Whether times end with the first token of a server's answer. Older results do not say so. */
export function isServer({ until, workload }: BenchmarkResult): boolean {
  return until === undefined ? workload.some((word) => word.includes('serve')) : until === 'first token';
}

/** What a time ends with. */
export const measureName = (result: BenchmarkResult): string =>
  isServer(result) ? 'first token' : 'every byte verified';

function valueAfter(words: readonly string[], ...options: string[]): string | undefined {
  const at = words.findIndex((word) => options.includes(word));
  return at < 0 ? undefined : words[at + 1];
}

/** The model of a server or the memory of a workload, in a few words. */
export function subject({ workload }: Pick<BenchmarkResult, 'workload'>): string {
  const allocated = workload.flatMap((word, index) => (workload[index - 1] === '--alloc' ? [word] : []));
  if (allocated.length > 0)
    return allocated
      .map((one) =>
        one.replace(
          /^(\w+?)([KMG])(?:x(\d+))?$/i,
          (_, size: string, unit: string, times?: string) =>
            `${times === undefined ? '' : `${times} × `}${size} ${unit.toUpperCase()}iB`,
        ),
      )
      .join(' + ');
  const model = valueAfter(workload, '--model', '--model-dir', 'serve');
  return model === undefined
    ? basename(workload.find((word) => /\.\w+$/.test(word)) ?? workload[0] ?? '')
    : basename(model);
}

const months = 'January February March April May June July August September October November December'.split(
  ' ',
);

/** 21 November 2026, in UTC. */
export function dateText(iso: string): string {
  const date = new Date(iso);
  return `${date.getUTCDate()} ${months[date.getUTCMonth()] ?? ''} ${date.getUTCFullYear()}`;
}

/** The sentence that a reader sees first, in parts. */
export interface Lead {
  /** `First token after 0.420 s instead of 5.459 s: 13.0×` */
  sentence: string;
  /** On what, and when. */
  where: string;
  /** What is compared with what. */
  compared: string;
  /** Why to believe it. */
  trust: string;
}

/** What was gained, on what, against what, and why to believe it. */
export function leadOf(result: BenchmarkResult): Lead {
  const { reference, best } = storyOf(result);
  const label = caseLabels(result);
  const { environment } = result;
  const shown = best ?? reference;
  const what = isServer(result) ? 'First token' : 'Restored, and every byte verified,';
  const ratio = reference.verifiedMs.median / shown.verifiedMs.median;
  const gain =
    best === undefined ? '' : ` instead of ${seconds(reference.verifiedMs.median)} s: ${speedupText(ratio)}`;
  const interval = shown.ratioInterval?.verifiedMs;
  const { n, p10, p90 } = shown.verifiedMs;
  const gpu = environment.software ? 'software driver' : (environment.gpu ?? 'unknown GPU');
  const key = new Map(settingsKey(result));
  const explained = key.get(label(reference.case));
  return {
    sentence: `${what} after ${seconds(shown.verifiedMs.median)} s${gain}`,
    where: `${gpu}, ${subject(result)}, ${dateText(environment.date)}`,
    compared:
      best === undefined
        ? label(shown.case)
        : `${label(shown.case)}, against ${label(reference.case)}${explained === undefined ? '' : ` (${explained})`}`,
    trust: [
      n === 1 ? 'One run' : `Medians of ${n} runs; 80 % of them within ${seconds(p10)} to ${seconds(p90)} s`,
      ...(interval ? [`with 95 % confidence ${speedupRange(interval)}`] : []),
      isServer(result)
        ? 'every answer was the same as before the dump'
        : 'every byte was the same as before the dump',
    ].join('; '),
  };
}

const quoted = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;

function lists(cases: readonly ResultCase[]): string[] {
  const values = (key: keyof NonNullable<ResultCase['settings']>): string =>
    [...new Set(cases.flatMap(({ settings }) => settings?.[key] ?? []))].map(Number).join(',');
  const option = (flag: string, text: string): string[] => (text === '' ? [] : [flag, text]);
  const text = (key: 'variant' | 'store'): string =>
    [...new Set(cases.flatMap(({ settings }) => settings?.[key] ?? []))].join(',');
  return [
    ...option('--variants', text('variant')),
    ...option('--streams', values('streams')),
    ...option('--chunk-mb', values('chunkMb')),
    ...option('--pool', values('pool')),
    ...option('--prefetch', values('prefetch')),
    ...option('--store', text('store')),
  ];
}

/** The command that measured a result; for a result of earlier versions, which do not keep it, one that measures the same. */
export function commandOf(result: BenchmarkResult): { command: string; recorded: boolean } {
  const { command, cases, workload, environment, samples } = result;
  if (command !== undefined) return { command: command.map(quoted).join(' '), recorded: true };
  const rounds = new Set(samples.map(({ round }) => round)).size;
  const isMatrix = cases.every(({ settings }) => settings !== undefined);
  const own = workload[0] === '--alloc';
  const words = [
    ...['criu-cuda', 'bench', isMatrix ? 'matrix' : 'run'],
    ...(isMatrix
      ? lists(cases)
      : ['--cases', cases.map(({ name }) => name).join(','), '--store', environment.imageStore.path]),
    ...(cases.some(({ name }) => name.startsWith('upstream')) ? ['--upstream', 'DIR'] : []),
    ...(isServer(result) ? ['--url', 'http://127.0.0.1:8000'] : []),
    ...['--rounds', String(rounds), '--output', 'FILE'],
    ...(own ? workload : ['--', ...workload]),
  ];
  return { command: words.map(quoted).join(' '), recorded: false };
}
