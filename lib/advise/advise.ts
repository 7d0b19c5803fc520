// SPDX-License-Identifier: MIT
/**
 * Advice: the variant, the settings, the restore time to expect, and what would make it shorter.
 * @module
 */
import { join } from 'node:path';
import { UsageError } from '../errors.ts';
import { formatBytes } from '../output.ts';
import { estimateRestore, type Amounts, type Way } from './estimate.ts';
import { readAdviceFacts, type AdviceFacts, type FactsOptions } from './facts.ts';
import { diskRate, h200Bytes, h200Rates, type Rates } from './rates.ts';

/** What is to be restored, and where images would be. */
export interface AdviseOptions extends FactsOptions {
  /** Device memory of a program that does not run yet, or the weights of a model, GiB. */
  modelGib?: number | undefined;
  /** vLLM's share of the GPU: weights and KV cache together take it. */
  utilization?: number | undefined;
}

/** One way to restore. */
export interface WayAdvice {
  /** The variant. */
  way: Way;
  /** Expected time of a restore until every byte is back. Milliseconds. */
  restoreMs: number;
  /** Whether it can be used with what is there. */
  possible: boolean;
  /** What it needs, and why it cannot be used. */
  needs: string;
}

/** Something that would shorten a restore. */
export interface FasterWay {
  /** What to do. */
  what: string;
  /** Expected saving in milliseconds. */
  savesMs: number;
}

/** The restore of a server by its share of the GPU. */
export interface UtilizationRow {
  /** `--gpu-memory-utilization`. */
  utilization: number;
  /** Device memory in bytes. */
  deviceBytes: number;
  /** With the advised variant. Milliseconds. */
  restoreMs: number;
}

/** What to use here. */
export interface Advice {
  /** The variant to take. */
  variant: 'remap' | 'full';
  /** Settings that differ from the defaults. */
  settings: Record<string, string>;
  /** What to type. */
  commands: string[];
  /** Expected time of a restore. Milliseconds. */
  restoreMs: number;
  /** Size of the images in bytes. */
  amounts: Amounts;
  /** Every way, slowest first. */
  ways: WayAdvice[];
  /** What would make it faster, most first. */
  faster: FasterWay[];
  /** A server by its share of the GPU; empty for a process. */
  utilizations: UtilizationRow[];
  /** What will not work. */
  problems: string[];
  /** Where the rates are from. */
  source: string;
  /** What was not found and taken for granted. */
  assumptions: string[];
  /** What was found. */
  facts: AdviceFacts;
}

const GIB = 2 ** 30;
/** Shares for which a server is shown: vLLM's default is 0.90; the preset `vllm` has 0.30. */
const shares = [0.3, 0.5, 0.9];
/** The quickest cell of benchmarks/results/server-matrix with the pool daemon. */
const best = { streams: 8, chunkMb: 8 };

const inMemory = (type: string): boolean => type === 'tmpfs' || type === 'ramfs' || type === 'hugetlbfs';

function ratesOf({ limits, store }: AdviceFacts, assumptions: string[]): { rates: Rates; source: string } {
  if (limits) {
    const { value, path } = limits;
    const soft = value.software ? ', of the software driver: they mean nothing' : '';
    return { rates: value.limits, source: `${path} (${value.device}${soft})` };
  }
  assumptions.push('rates of an H200 with PCIe 5 x16; criu-cuda bench limits measures those of this machine');
  const source = 'benchmarks/results/matrix/limits.json (NVIDIA H200)';
  if (inMemory(store.type)) return { rates: h200Rates, source };
  assumptions.push(`a disk that reads ${diskRate} GB/s with O_DIRECT`);
  return { rates: { ...h200Rates, read: diskRate }, source };
}

function amountsOf(options: AdviseOptions, facts: AdviceFacts, assumptions: string[]): Amounts {
  const { modelGib, utilization } = options;
  const { process } = facts;
  if (process) {
    const { deviceBytes, hostBytes } = process;
    if (deviceBytes !== undefined && deviceBytes > 0) return { deviceBytes, hostBytes };
    if (modelGib === undefined)
      throw new UsageError(
        `nothing tells how much device memory process ${process.pid} has`,
        `criu-cuda advise --pid ${process.pid} --model-gib N`,
      );
    return { deviceBytes: modelGib * GIB, hostBytes };
  }
  if (modelGib === undefined)
    throw new UsageError(
      'advice needs a process or a size',
      'criu-cuda advise --pid PID, or criu-cuda advise --model-gib N',
    );
  const gpuBytes = facts.gpuBytes ?? h200Bytes;
  assumptions.push('1 GiB of host memory that no file backs');
  const share = utilization === undefined ? 0 : utilization * gpuBytes;
  return { deviceBytes: Math.max(modelGib * GIB, share), hostBytes: GIB };
}

function waysOf(facts: AdviceFacts, amounts: Amounts, rates: Rates): WayAdvice[] {
  const { process } = facts;
  const preloaded = process === undefined || process.hasInterceptor;
  const gpuBytes = facts.gpuBytes ?? h200Bytes;
  const start = process?.container === undefined ? 'criu-cuda run' : 'criu-cuda container create';
  const interceptor = preloaded
    ? `a program started with ${start}`
    : `it was not started with ${start}, so it has no interceptor`;
  const fits = gpuBytes >= 2 * amounts.deviceBytes;
  const way = (name: Way, possible: boolean, needs: string): WayAdvice => ({
    way: name,
    restoreMs: estimateRestore(name, amounts, rates),
    possible,
    needs,
  });
  return [
    way('stock', true, 'nothing else'),
    way('remap', true, 'nothing else'),
    way('parallel', preloaded, interceptor),
    way('full', preloaded, `${interceptor}${facts.pool ? '' : '; criu-cuda pool start'}`),
    way(
      'full, prefetched',
      preloaded && facts.pool && fits,
      fits
        ? `the same, and criu-cuda pool prefetch DIR${facts.pool ? '' : ' of a running pool'}`
        : `twice the memory on the GPU: ${formatBytes(2 * amounts.deviceBytes)} of ${formatBytes(gpuBytes)}`,
    ),
  ];
}

function fasterWays(
  facts: AdviceFacts,
  amounts: Amounts,
  rates: Rates,
  ways: readonly WayAdvice[],
): FasterWay[] {
  const time = (name: Way): number => ways.find(({ way }) => way === name)?.restoreMs ?? 0;
  const { process, store, pool } = facts;
  const preloaded = process === undefined || process.hasInterceptor;
  const now = preloaded ? 'full' : 'remap';
  const saves = (what: string, ms: number): FasterWay[] =>
    ms >= 5 ? [{ what, savesMs: Math.round(ms) }] : [];
  const inRam = { ...rates, read: Math.max(rates.read, h200Rates.read) };
  const gpuBytes = facts.gpuBytes ?? h200Bytes;
  return [
    ...(preloaded
      ? []
      : saves('start the program with criu-cuda run, for variant full', time('remap') - time('full'))),
    ...(preloaded && !pool ? saves('criu-cuda pool start', time('parallel') - time('full')) : []),
    ...(gpuBytes >= 2 * amounts.deviceBytes
      ? saves('criu-cuda pool prefetch DIR before the restore', time('full') - time('full, prefetched'))
      : []),
    ...(inMemory(store.type)
      ? []
      : saves('images on a tmpfs in huge pages', time(now) - estimateRestore(now, amounts, inRam))),
    ...saves(
      'half the device memory (--gpu-memory-utilization, --max-model-len)',
      time(now) - estimateRestore(now, { ...amounts, deviceBytes: amounts.deviceBytes / 2 }, rates),
    ),
  ].sort((a, b) => b.savesMs - a.savesMs);
}

/** The first driver with the checkpoint API. */
const OLDEST_DRIVER = 570;

function problemsOf(
  { store, availableBytes, gpu, gpuBytes, driver, software }: AdviceFacts,
  { deviceBytes, hostBytes }: Amounts,
): string[] {
  const size = deviceBytes + hostBytes;
  const text = formatBytes(size);
  return [
    ...(driver !== undefined && !software && Number.parseInt(driver, 10) < OLDEST_DRIVER
      ? [`driver ${driver} cannot checkpoint; ${OLDEST_DRIVER} or newer can`]
      : []),
    ...(store.freeBytes < size
      ? [`${store.path} has ${formatBytes(store.freeBytes)}; the images take ${text}`]
      : []),
    ...(inMemory(store.type) && availableBytes < size
      ? [
          `${store.path} is in memory, of which ${formatBytes(availableBytes)} are available; the images take ${text}`,
        ]
      : []),
    ...(gpu !== undefined && gpuBytes !== undefined && gpuBytes < deviceBytes
      ? [
          `${gpu} has ${formatBytes(gpuBytes)}, less than the ${formatBytes(deviceBytes)} that are to be restored`,
        ]
      : []),
  ];
}

function commandsOf(facts: AdviceFacts, variant: Advice['variant']): string[] {
  const { process, store, pool } = facts;
  const dir = join(store.path, 'img'); // the store itself may have other files
  if (process?.container !== undefined)
    return [`criu-cuda container checkpoint NAME --variant ${variant}`, 'criu-cuda container restore NAME'];
  return [
    ...(process === undefined ? ['criu-cuda run -- PROGRAM'] : []),
    ...(variant === 'full' && !pool ? ['criu-cuda pool start'] : []),
    `criu-cuda checkpoint --variant ${variant} ${process?.pid ?? 'PID'} ${dir}`,
    `criu-cuda restore --variant ${variant} ${dir}`,
  ];
}

/** Advice for what was found. Throws as {@link advise}. */
export function adviceFrom(facts: AdviceFacts, options: AdviseOptions): Advice {
  const { modelGib } = options;
  const assumptions: string[] = [];
  if (facts.software) assumptions.push('times of the software driver mean nothing; a GPU has others');
  if (facts.gpu === undefined) assumptions.push('a GPU with the 140 GiB of an H200: there is none here');
  const amounts = amountsOf(options, facts, assumptions);
  const { rates, source } = ratesOf(facts, assumptions);
  const ways = waysOf(facts, amounts, rates);
  const variant = ways.find(({ way }) => way === 'full')?.possible === true ? 'full' : 'remap';
  const streams = Math.min(best.streams, Math.max(1, facts.cpus));
  const gpuBytes = facts.gpuBytes ?? h200Bytes;
  const bytes = (share: number): number => Math.max((modelGib ?? 0) * GIB, share * gpuBytes);
  return {
    variant,
    settings:
      variant === 'full'
        ? { CRIU_CUDA_STREAMS: String(streams), CRIU_CUDA_CHUNK_MB: String(best.chunkMb) }
        : {},
    commands: commandsOf(facts, variant),
    restoreMs: estimateRestore(variant, amounts, rates),
    amounts,
    ways,
    faster: fasterWays(facts, amounts, rates, ways),
    utilizations:
      facts.process === undefined
        ? shares.map((share) => ({
            utilization: share,
            deviceBytes: bytes(share),
            restoreMs: estimateRestore(variant, { ...amounts, deviceBytes: bytes(share) }, rates),
          }))
        : [],
    problems: problemsOf(facts, amounts),
    source,
    assumptions,
    facts,
  };
}

/**
 * Says which variant and settings to use, how long a restore would take, and what would make it shorter. Without a GPU it
 * assumes an H200 and says so.
 * @throws {@link UsageError} neither a process nor a size, or a size that is not above 0
 */
export async function advise(options: AdviseOptions): Promise<Advice> {
  const { modelGib, utilization } = options;
  if (modelGib !== undefined && !(modelGib > 0))
    throw new UsageError(`a size of ${modelGib} GiB`, 'a number above 0');
  if (utilization !== undefined && !(utilization > 0 && utilization <= 1))
    throw new UsageError(`a share of ${utilization}`, 'a number above 0, and at most 1');
  return adviceFrom(await readAdviceFacts(options), options);
}
