// SPDX-License-Identifier: MIT
/**
 * Dumps and restores workload-pattern for several cases in turn. Every round runs each case once, so that drift of the
 * machine affects all of them.
 * @module
 */
import { writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { monotonicMs } from '../clock.ts';
import type { Phase } from '../criu/index.ts';
import { exec } from '../exec.ts';
import { readGpuImages } from '../images/index.ts';
import { prefetchImages } from '../pool/index.ts';
import {
  becomeSubreaper,
  collectBackgroundProcesses,
  killTree,
  markRestored,
  watcherName,
} from '../process/index.ts';
import type { TransferSettings } from '../settings/index.ts';
import { endProgram } from '../stop/index.ts';
import { Workload } from '../workload/index.ts';
import { makeDirectory, makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { WorkloadError } from '../workload/index.ts';
import { BenchmarkError } from './error.ts';
import { typeOperation, type TypedOperation } from './typed.ts';
import { checkCount, checkPath } from '../check.ts';

/** The settings of a case in a matrix; a setting that the variant does not read is absent. */
export interface CaseSettings extends TransferSettings {
  /** Variant of the plugin, or the name of the plugin's directory. */
  variant: string;
  /** Directory of the images. */
  store?: string | undefined;
  /** CRIU_CUDA_CONTEXT_POOL. */
  pool?: 0 | 1 | undefined;
  /** Whether the pool daemon loads the image before the restore. */
  prefetch?: boolean | undefined;
}

/** How to run one case of a benchmark. */
export interface BenchmarkCase {
  /** Unique in a benchmark. */
  name: string;
  /** Plugin directory. */
  libdir: string;
  /** Library to preload into the workload, for variants that need the interceptor. */
  preload?: string | undefined;
  /** Directory that comes first in criu's PATH, for a plugin that runs a helper program. */
  path?: string | undefined;
  /** Path of a different criu. @default the benchmark's */
  criu?: string | undefined;
  /** Settings of the plugin. */
  env?: Record<string, string> | undefined;
  /** Whether the pool daemon loads the image before the restore; the daemon must run. */
  prefetch?: boolean | undefined;
  /** Whether the process is restored ahead of time and left stopped; the time is measured from its waking. */
  standby?: boolean | undefined;
  /** Directory for this case's images. @default the benchmark's store */
  store?: string | undefined;
  /** No checkpoint: measures the start of the program. */
  coldStart?: boolean | undefined;
  /** The settings of a case in a matrix. */
  settings?: CaseSettings | undefined;
}

/** State of the page cache before each restore; does not apply to a tmpfs. */
export type PageCache = 'warm' | 'dropped';

/** A program that answers a question the same way before and after the checkpoint. */
export interface OtherProgram {
  /** Program and arguments; `--socket PATH` is added. */
  command: readonly string[];
  /** A request of one line; its answer begins with `ok`. */
  question: string;
}

/** What to measure, how often and where. */
export interface DumpRestoreOptions {
  /** Path of the criu program. @default the one that `criu-cuda setup` finds */
  criu?: string | undefined;
  /** The cases, each measured once per round. */
  cases: readonly BenchmarkCase[];
  /** Options of workload-pattern. */
  workload: readonly string[];
  /** A program to measure instead, with the socket protocol of workload-pattern. */
  program?: OtherProgram | undefined;
  /**
   * Measures one sample in a store, and removes what it wrote there.
   * @default a dump and a restore of workload-pattern
   */
  measure?: ((one: BenchmarkCase, round: number, store: string) => Promise<Sample>) | undefined;
  /** Measured rounds. */
  rounds: number;
  /** Rounds that are run first and not counted, because memory is touched for the first time. @default 1 */
  warmup?: number | undefined;
  /** Directory for images; every run uses its own subdirectory and removes it. */
  store: string;
  /** State of the page cache before each restore. @default warm: images are read while they are cached */
  pageCache?: PageCache | undefined;
  /** Prepares what a case needs, before each of its samples. */
  prepare?: ((one: BenchmarkCase) => Promise<void>) | undefined;
  /** Whether an interrupted run has already measured this sample. */
  isDone?: ((caseName: string, round: number) => boolean) | undefined;
  /** Stops the benchmark. */
  signal?: AbortSignal | undefined;
  /** Called for every sample, including warm-ups (`round` below 0). */
  onSample?: ((sample: Sample) => void) | undefined;
}

/** How the time was spent; `podman` and `application` occur for servers in containers. */
export interface SamplePhase {
  /** What spent the time. */
  part: Phase['part'] | 'podman' | 'application';
  /** What was done, such as `read memory`. */
  name: string;
  /** Milliseconds. */
  durationMs: number;
}

/** One dump and one restore, or one cold start. Times in milliseconds. */
export interface Sample {
  /** Name of the case. */
  case: string;
  /** 0 for the first measured round; negative while warming up. */
  round: number;
  /**
   * Without a checkpoint: from the start of the program to the first answer that every byte is right, or of a server to
   * its first token. Absent if the program was already running.
   */
  coldMs?: number | undefined;
  /** The same in three phases, of a server: `start` of the program or container, `load` until it is healthy, `first token`. */
  coldPhases?: SamplePhase[] | undefined;
  /** Of the answer after the restore, or after the cold start; absent if the server does not count. */
  tokensPerSecond?: number | undefined;
  /** From before the start of `criu-cuda checkpoint` to its end; absent in older results, and where nothing is typed. */
  dumpTypedMs?: number | undefined;
  /** Duration of the dump; 0 for a cold start, which has neither dump nor images. */
  dumpMs: number;
  /** The phases of the dump, which add up to `dumpMs`. */
  dumpPhases: SamplePhase[];
  /** From the start of criu to its end; of a standby, its waking; of a cold start, until the program listens. */
  restoreMs: number;
  /** The phases of the restore, which add up to `restoreMs`. */
  restorePhases: SamplePhase[];
  /**
   * From before the start of `criu-cuda restore`, or `criu-cuda wake` of a standby, to the answer that every byte is right,
   * or of a server to its first token; of a cold start, the same as `coldMs`. Absent in older results, and where nothing is
   * typed.
   */
  typedMs?: number | undefined;
  /** The same from the call of the library: what is typed, without the start of the program. */
  verifiedMs: number;
  /** Size of the images, in bytes. */
  imageBytes: number;
  /** Size of the allocations in the GPU images, in bytes; absent if the variant writes none. */
  deviceBytes?: number | undefined;
}

/** Device memory stored in the GPU images of a dump. */
export async function imagedDevice(imagesDir: string): Promise<Pick<Sample, 'deviceBytes'>> {
  const images = await readGpuImages(imagesDir);
  if (images.length === 0) return {};
  const sizes = images.flatMap(({ manifest }) => manifest.allocations.map(({ size }) => size));
  return { deviceBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Environment of criu for a case. */
export function caseEnvironment(one: BenchmarkCase): Record<string, string> {
  return {
    ...one.env,
    ...(one.path === undefined ? {} : { PATH: `${one.path}${delimiter}${process.env.PATH ?? ''}` }),
  };
}

/** Proves that device memory is complete: workload-pattern verifies it, other programs answer a question. */
async function examine(workload: Workload, program: OtherProgram | undefined): Promise<string> {
  if (!program) return workload.verify();
  const answer = await workload.ask(program.question);
  if (answer.startsWith('ok')) return answer;
  throw new WorkloadError(
    'ERR_WORKLOAD',
    `unexpected answer to "${program.question}": "${answer.slice(0, 200)}"`,
  );
}

/** Enough for images as large as the memory on a slow disk. */
const SYNC_TIMEOUT_MS = 3_600_000;

/** Empties the page cache, so that images are read from storage next. */
export async function dropPageCache(signal: AbortSignal | undefined): Promise<void> {
  await exec('sync', [], { timeoutMs: SYNC_TIMEOUT_MS, signal });
  writeFileSync('/proc/sys/vm/drop_caches', '3\n');
}

/** What `criu-cuda` is told about a dump or a restore of a case. */
export interface Target {
  /** Directory of the images. */
  imagesDir: string;
  /** Path of the criu program. */
  criu: string | undefined;
  /** Stops the operation. */
  signal: AbortSignal | undefined;
}

function type(one: BenchmarkCase, { criu, signal }: Target, ...words: string[]): Promise<TypedOperation> {
  const chosen = criu === undefined ? {} : { CRIU_CUDA_CRIU: criu };
  const typed = typeOperation(words, { ...caseEnvironment(one), ...chosen }, signal);
  // what the plugin leaves behind is adopted by this process when the program ends
  return typed.finally(() => {
    collectBackgroundProcesses().catch(() => undefined);
    collectBackgroundProcesses(watcherName).catch(() => undefined);
  });
}

const places = (one: BenchmarkCase, { imagesDir }: Target): string[] => [
  ...['--images-dir', imagesDir],
  ...['--libdir', one.libdir],
];

/** Types the dump of a tree. */
export const typeCheckpoint = (one: BenchmarkCase, target: Target, pid: number): Promise<TypedOperation> =>
  type(one, target, 'checkpoint', '--pid', String(pid), ...places(one, target));

/** Types a restore. This process adopts the tree, and is going to collect it. */
async function typeRestore(one: BenchmarkCase, target: Target, flag: string[]): Promise<TypedOperation> {
  const restored = await type(one, target, 'restore', '--detach', ...flag, ...places(one, target));
  markRestored(restored.pid);
  return restored;
}

/** Prepares a restore, without measuring it. @returns the part to measure: the restore, or the waking of a standby */
export async function prepareRestore(
  one: BenchmarkCase,
  target: Target,
  pageCache: PageCache | undefined,
): Promise<() => Promise<TypedOperation>> {
  const { imagesDir, signal } = target;
  if (one.prefetch === true) await prefetchImages(imagesDir, signal === undefined ? {} : { signal });
  if (pageCache === 'dropped') await dropPageCache(signal);
  if (one.standby !== true) return () => typeRestore(one, target, []);
  const { pid } = await typeRestore(one, target, ['--leave-stopped']);
  return async () => {
    try {
      const woken = await type(one, target, 'wake', '--pid', String(pid));
      return { ...woken, phases: [{ part: 'plugin', name: 'wake', durationMs: woken.durationMs }] };
    } catch (error) {
      await killTree(pid);
      throw error;
    }
  };
}

/**
 * The sample of a cold start.
 * @param startedMs from the start of the program until it listened
 * @param coldMs from the start of the program to its first answer
 */
export function coldSample(one: BenchmarkCase, round: number, startedMs: number, coldMs: number): Sample {
  return {
    case: one.name,
    round,
    coldMs,
    dumpMs: 0,
    dumpPhases: [],
    restoreMs: startedMs,
    restorePhases: [{ part: 'application', name: 'until it listens', durationMs: startedMs }],
    typedMs: coldMs,
    verifiedMs: coldMs,
    imageBytes: 0,
  };
}

async function runOnce(one: BenchmarkCase, options: DumpRestoreOptions, round: number): Promise<Sample> {
  const scratch = makeTemporaryDirectory('criu-cuda-bench-');
  const imagesDir = makeTemporaryDirectory('images-', one.store ?? options.store);
  const { program } = options;
  const criu = one.criu ?? options.criu;
  const target: Target = { imagesDir, criu, signal: options.signal };
  let workload: Workload | undefined;
  try {
    if (one.coldStart === true && options.pageCache === 'dropped') await dropPageCache(options.signal);
    const begin = performance.now();
    workload = await Workload.start({
      socketPath: join(scratch, 'workload.sock'),
      args: program ? [] : options.workload,
      ...(program ? { program: program.command } : {}),
      ...(one.preload === undefined ? {} : { env: { LD_PRELOAD: one.preload } }),
      signal: options.signal,
    });
    const startedMs = performance.now() - begin;
    const before = await examine(workload, program);
    const coldMs = performance.now() - begin;
    if (one.coldStart === true) return coldSample(one, round, startedMs, coldMs);
    const addresses = program ? '' : await workload.addresses();
    const dumped = await typeCheckpoint(one, target, workload.pid);
    await workload.ended();
    const device = await imagedDevice(imagesDir);
    const bringBack = await prepareRestore(one, target, options.pageCache);
    const { durationMs, phases, typedAt, startedAt } = await bringBack();
    const checksum = await examine(workload, program);
    const verifiedAt = monotonicMs();
    if (checksum !== before || (program ? '' : await workload.addresses()) !== addresses) {
      throw new BenchmarkError(
        'ERR_BENCHMARK',
        `${one.name}: memory of the restored process differs from that of the dumped one`,
      );
    }
    return {
      case: one.name,
      round,
      coldMs,
      dumpTypedMs: dumped.typedMs,
      dumpMs: dumped.durationMs,
      dumpPhases: dumped.phases,
      restoreMs: durationMs,
      restorePhases: phases,
      typedMs: verifiedAt - typedAt,
      verifiedMs: verifiedAt - startedAt,
      imageBytes: dumped.imageBytes,
      ...device,
    };
  } finally {
    await endProgram(workload);
    removeTemporaryDirectory(imagesDir);
    removeTemporaryDirectory(scratch);
  }
}

/** The cases in the order of a round. Each round starts with the next case, so that no case is always first. */
function inTurn(cases: readonly BenchmarkCase[], round: number): BenchmarkCase[] {
  const first = ((round % cases.length) + cases.length) % cases.length;
  return [...cases.slice(first), ...cases.slice(0, first)];
}

/**
 * Runs all rounds. A failing run ends the benchmark: a run with a wrong byte does not count as a sample.
 * @returns the samples measured now, without those that {@link DumpRestoreOptions.isDone} skipped
 */
export async function benchmarkDumpRestore(options: DumpRestoreOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  const { cases, rounds, warmup = 1, isDone = () => false } = options;
  checkPath('store', options.store);
  checkCount('rounds', rounds, 1);
  checkCount('warmup', warmup, 0);
  const measure = options.measure ?? ((one: BenchmarkCase, round: number) => runOnce(one, options, round));
  const isLeft = ({ name }: BenchmarkCase): boolean =>
    Array.from({ length: rounds }, (_, round) => round).some((round) => !isDone(name, round));
  becomeSubreaper();
  for (const store of [options.store, ...cases.flatMap((one) => one.store ?? [])]) makeDirectory(store);
  for (let round = 0 - warmup; round < rounds; round += 1) {
    for (const one of inTurn(cases, round)) {
      options.signal?.throwIfAborted();
      if (round < 0 ? !isLeft(one) : isDone(one.name, round)) continue;
      await options.prepare?.(one);
      const sample = await measure(one, round, one.store ?? options.store);
      options.onSample?.(sample);
      if (round >= 0) samples.push(sample);
    }
  }
  return samples;
}
