// SPDX-License-Identifier: MIT
/**
 * Dump and restore of workload-pattern, for several cases in turn: every round
 * runs each case once, so that a drift of the machine meets all of them.
 * @module
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { checkpoint } from '../checkpoint/index.ts';
import type { Phase } from '../criu/index.ts';
import { exec } from '../exec.ts';
import { readGpuImages } from '../images/index.ts';
import { prefetchImages } from '../pool/index.ts';
import { becomeSubreaper } from '../process/index.ts';
import { restore, type RestoredProcess, type RestoreOptions, type RestoreResult } from '../restore/index.ts';
import type { TransferSettings } from '../settings/index.ts';
import { Workload } from '../workload/index.ts';
import { makeDirectory } from '../directory.ts';
import { WorkloadError } from '../workload/index.ts';
import { BenchmarkError } from './error.ts';
import { checkCount, checkPath } from '../check.ts';

/** What a case of a matrix was run with; absent: the variant does not read it. */
export interface CaseSettings extends TransferSettings {
  /** Variant of the plugin, or the name of the plugin's directory. */
  variant: string;
  /** Directory of the images. */
  store?: string | undefined;
  /** CRIU_CUDA_CONTEXT_POOL. */
  pool?: 0 | 1 | undefined;
  /** The pool daemon loaded the image before the restore. */
  prefetch?: boolean | undefined;
}

/** What one case of a benchmark is run with. */
export interface BenchmarkCase {
  /** Unique in a benchmark. */
  name: string;
  /** Plugin directory. */
  libdir: string;
  /** Preloaded into the workload, for variants that need the interceptor. */
  preload?: string | undefined;
  /** Put in front of PATH for criu, for a plugin that runs a helper program. */
  path?: string | undefined;
  /** Another criu. @default the benchmark's */
  criu?: string | undefined;
  /** Settings of the plugin. */
  env?: Record<string, string> | undefined;
  /** Before the restore the pool daemon, which must run, loads the image. */
  prefetch?: boolean | undefined;
  /** The process is restored ahead of time and stands still; measured is from its waking on. */
  standby?: boolean | undefined;
  /** Where this case's images go. @default the benchmark's store */
  store?: string | undefined;
  /** No checkpoint at all: the start of the program. */
  coldStart?: boolean | undefined;
  /** Where the case is in a matrix. */
  settings?: CaseSettings | undefined;
}

/** What is done about the page cache before each restore; a tmpfs has none. */
export type PageCache = 'warm' | 'dropped';

/** Asked the same before and after, it has to answer the same. */
export interface OtherProgram {
  /** Program and arguments; `--socket PATH` is added. */
  command: readonly string[];
  /** One line, answered by one that begins with `ok`. */
  question: string;
}

/** What is measured, how often and where. */
export interface DumpRestoreOptions {
  /** The program. @default the one that `criu-cuda setup` finds */
  criu?: string | undefined;
  /** Measured in turn, each once a round. */
  cases: readonly BenchmarkCase[];
  /** Options of workload-pattern. */
  workload: readonly string[];
  /** Another program instead, with the protocol of workload-pattern's socket. */
  program?: OtherProgram | undefined;
  /**
   * Measures one sample in a store, and leaves nothing behind.
   * @default a dump and a restore of workload-pattern
   */
  measure?: ((one: BenchmarkCase, round: number, store: string) => Promise<Sample>) | undefined;
  /** Measured rounds. */
  rounds: number;
  /** Rounds that are run and not counted: memory is touched for the first time. @default 1 */
  warmup?: number | undefined;
  /** A directory of its own is made and removed here for every run. */
  store: string;
  /** @default warm: images are read while the system still has them in memory */
  pageCache?: PageCache | undefined;
  /** What a case needs around it, before each of its samples. */
  prepare?: ((one: BenchmarkCase) => Promise<void>) | undefined;
  /** Says that a measured sample is there already, from an interrupted run. */
  isDone?: ((caseName: string, round: number) => boolean) | undefined;
  /** Stops the benchmark. */
  signal?: AbortSignal | undefined;
  /** Called for every sample, warm-ups (`round` below 0) too. */
  onSample?: ((sample: Sample) => void) | undefined;
}

/** Where time went; `podman` and `application` for servers in containers. */
export interface SamplePhase {
  /** Who spent the time. */
  part: Phase['part'] | 'podman' | 'application';
  /** What was done, as `read memory`. */
  name: string;
  /** Milliseconds. */
  durationMs: number;
}

/** One dump and one restore, or one cold start. Milliseconds. */
export interface Sample {
  /** Name of the case. */
  case: string;
  /** 0 for the first measured round; negative while warming up. */
  round: number;
  /**
   * From the start of the program to the first answer that every byte is right, of a server to its first token: no
   * checkpoint involved. Absent where the program ran already.
   */
  coldMs?: number | undefined;
  /** 0 for a cold start, which has no dump and no images. */
  dumpMs: number;
  /** The phases of the dump, which add up to `dumpMs`. */
  dumpPhases: SamplePhase[];
  /** From the start of criu to its end; of a standby its waking, of a cold start until the program listens. */
  restoreMs: number;
  /** The phases of the restore, which add up to `restoreMs`. */
  restorePhases: SamplePhase[];
  /**
   * From the start of `criu restore`, or the waking of a standby, to the answer that every byte is right, of a server to
   * its first token.
   */
  verifiedMs: number;
  /** Size of the images. */
  imageBytes: number;
  /** Of the allocations in the GPU image; absent where the variant writes none. */
  deviceBytes?: number | undefined;
}

/** The device memory that the GPU images of a dump hold. */
export async function imagedDevice(imagesDir: string): Promise<Pick<Sample, 'deviceBytes'>> {
  const images = await readGpuImages(imagesDir);
  if (images.length === 0) return {};
  const sizes = images.flatMap(({ manifest }) => manifest.allocations.map(({ size }) => size));
  return { deviceBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** What criu is run with for a case. */
export function caseEnvironment(one: BenchmarkCase): Record<string, string> {
  return {
    ...one.env,
    ...(one.path === undefined ? {} : { PATH: `${one.path}${delimiter}${process.env.PATH ?? ''}` }),
  };
}

/** The proof that all device memory is there: of other programs, what they answer. */
async function examine(workload: Workload, program: OtherProgram | undefined): Promise<string> {
  if (!program) return workload.verify();
  const answer = await workload.ask(program.question);
  if (answer.startsWith('ok')) return answer;
  throw new WorkloadError('ERR_WORKLOAD', `«${program.question}» was answered by «${answer.slice(0, 200)}»`);
}

/** Images as large as the memory, to a slow disk. */
const SYNC_TIMEOUT_MS = 3_600_000;

/** Gives the page cache back, images included: what comes next is read from the storage. */
export async function dropPageCache(signal: AbortSignal | undefined): Promise<void> {
  await exec('sync', [], { timeoutMs: SYNC_TIMEOUT_MS, signal });
  writeFileSync('/proc/sys/vm/drop_caches', '3\n');
}

/** What is measured of a restore. */
export interface BroughtBack extends Pick<RestoreResult, 'durationMs' | 'phases'> {
  restored: RestoredProcess;
}

/**
 * What is done between a dump and the restore that is measured.
 * @returns the measured part: the restore, or the waking of a standby
 */
export async function prepareRestore(
  one: BenchmarkCase,
  options: RestoreOptions,
  pageCache: PageCache | undefined,
): Promise<() => Promise<BroughtBack>> {
  const { imagesDir, signal } = options;
  if (one.prefetch === true) await prefetchImages(imagesDir, signal === undefined ? {} : { signal });
  if (pageCache === 'dropped') await dropPageCache(signal);
  if (one.standby !== true) {
    return async () => {
      const restored = await restore(options);
      return { restored, ...restored.result };
    };
  }
  const restored = await restore({ ...options, leaveStopped: true });
  return async () => {
    const { durationMs } = await restored.wake();
    return { restored, durationMs, phases: [{ part: 'plugin', name: 'wake', durationMs }] };
  };
}

/** @param startedMs from the start of the program until it listened */
export function coldSample(one: BenchmarkCase, round: number, startedMs: number, coldMs: number): Sample {
  return {
    case: one.name,
    round,
    coldMs,
    dumpMs: 0,
    dumpPhases: [],
    restoreMs: startedMs,
    restorePhases: [{ part: 'application', name: 'until it listens', durationMs: startedMs }],
    verifiedMs: coldMs,
    imageBytes: 0,
  };
}

async function runOnce(one: BenchmarkCase, options: DumpRestoreOptions, round: number): Promise<Sample> {
  const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-bench-'));
  const imagesDir = mkdtempSync(join(one.store ?? options.store, 'images-'));
  const { program } = options;
  const criu = one.criu ?? options.criu;
  const shared = {
    imagesDir,
    libdir: one.libdir,
    env: caseEnvironment(one),
    criu,
    signal: options.signal,
  };
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
    const dumped = await checkpoint({ ...shared, pid: workload.pid });
    await workload.ended();
    const device = await imagedDevice(imagesDir);
    const bringBack = await prepareRestore(one, shared, options.pageCache);
    const start = performance.now();
    const { durationMs, phases } = await bringBack();
    const checksum = await examine(workload, program);
    const verifiedMs = performance.now() - start;
    if (checksum !== before || (program ? '' : await workload.addresses()) !== addresses) {
      throw new BenchmarkError(
        'ERR_BENCHMARK',
        `${one.name}: the restored process has other memory than the dumped one`,
      );
    }
    return {
      case: one.name,
      round,
      coldMs,
      dumpMs: dumped.durationMs,
      dumpPhases: dumped.phases,
      restoreMs: durationMs,
      restorePhases: phases,
      verifiedMs,
      imageBytes: dumped.imageBytes,
      ...device,
    };
  } finally {
    await workload?.kill();
    rmSync(imagesDir, { recursive: true, force: true });
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The cases of a round, begun by another one each time, so that no case is always the first. */
function inTurn(cases: readonly BenchmarkCase[], round: number): BenchmarkCase[] {
  const first = ((round % cases.length) + cases.length) % cases.length;
  return [...cases.slice(first), ...cases.slice(0, first)];
}

/**
 * Runs all rounds; a failing run ends the benchmark, for a wrong byte is no sample.
 * @returns the measured samples of this run, without those that were done before
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
