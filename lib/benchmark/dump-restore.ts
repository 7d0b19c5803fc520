// SPDX-License-Identifier: MIT
/**
 * Dump and restore of workload-pattern, for several cases in turn: every round
 * runs each case once, so that a drift of the machine meets all of them.
 * @module
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { checkpoint } from '../checkpoint/index.ts';
import type { Phase } from '../criu/index.ts';
import { ToolkitError } from '../errors.ts';
import { poolPrefetch } from '../pool/index.ts';
import { becomeSubreaper } from '../process/index.ts';
import { restore } from '../restore/index.ts';
import { Workload } from '../workload/index.ts';

export interface BenchmarkCase {
  name: string;
  /** Plugin directory. */
  libdir: string;
  /** Preloaded into the workload, for variants that need the interceptor. */
  preload?: string;
  /** Put in front of PATH for criu, for a plugin that runs a helper program. */
  path?: string;
  /** Settings of the plugin. */
  env?: Record<string, string>;
  /** Before the restore the pool daemon, which must run, loads the image. */
  prefetch?: boolean;
}

export interface DumpRestoreOptions {
  /** The program. @default the one that `criu-cuda setup` finds */
  criu?: string;
  cases: readonly BenchmarkCase[];
  /** Options of workload-pattern. */
  workload: readonly string[];
  /** Measured rounds. */
  rounds: number;
  /** Rounds that are run and not counted: memory is touched for the first time. @default 1 */
  warmup?: number;
  /** A directory of its own is made and removed here for every run. */
  store: string;
  signal?: AbortSignal;
  onSample?: (sample: Sample) => void;
}

/** One dump and one restore. Milliseconds. */
export interface Sample {
  case: string;
  /** 0 for the first measured round; negative while warming up. */
  round: number;
  dumpMs: number;
  dumpPhases: Phase[];
  /** From the start of criu to its end. */
  restoreMs: number;
  restorePhases: Phase[];
  /** From the start of `criu restore` to the answer that every byte is right. */
  verifiedMs: number;
  imageBytes: number;
}

function criuEnv(one: BenchmarkCase): Record<string, string> {
  return {
    ...one.env,
    ...(one.path === undefined ? {} : { PATH: `${one.path}${delimiter}${process.env.PATH ?? ''}` }),
  };
}

async function runOnce(one: BenchmarkCase, options: DumpRestoreOptions, round: number): Promise<Sample> {
  const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-bench-'));
  const imagesDir = mkdtempSync(join(options.store, 'images-'));
  const shared = {
    imagesDir,
    libdir: one.libdir,
    env: criuEnv(one),
    ...(options.criu === undefined ? {} : { criu: options.criu }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  };
  let workload: Workload | undefined;
  try {
    workload = await Workload.start({
      socketPath: join(scratch, 'workload.sock'),
      args: options.workload,
      ...(one.preload === undefined ? {} : { env: { LD_PRELOAD: one.preload } }),
    });
    const before = { checksum: await workload.verify(), addresses: await workload.addresses() };
    const dumped = await checkpoint({ ...shared, pid: workload.pid });
    await workload.ended();
    if (one.prefetch === true) await poolPrefetch(imagesDir);
    const start = performance.now();
    const restored = await restore(shared);
    const checksum = await workload.verify();
    const verifiedMs = performance.now() - start;
    if (checksum !== before.checksum || (await workload.addresses()) !== before.addresses) {
      throw new ToolkitError(
        'ERR_BENCHMARK',
        `${one.name}: the restored process has other memory than the dumped one`,
      );
    }
    return {
      case: one.name,
      round,
      dumpMs: dumped.durationMs,
      dumpPhases: dumped.phases,
      restoreMs: restored.result.durationMs,
      restorePhases: restored.result.phases,
      verifiedMs,
      imageBytes: dumped.imageBytes,
    };
  } finally {
    await workload?.kill();
    rmSync(imagesDir, { recursive: true, force: true });
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Runs all rounds; a failing run ends the benchmark, for a wrong byte is no sample. */
export async function benchmarkDumpRestore(options: DumpRestoreOptions): Promise<Sample[]> {
  const samples: Sample[] = [];
  const warmup = options.warmup ?? 1;
  becomeSubreaper();
  mkdirSync(options.store, { recursive: true });
  for (let round = -warmup; round < options.rounds; round += 1) {
    for (const one of options.cases) {
      options.signal?.throwIfAborted();
      const sample = await runOnce(one, options, round);
      options.onSample?.(sample);
      if (round >= 0) samples.push(sample);
    }
  }
  return samples;
}
