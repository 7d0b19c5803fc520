// SPDX-License-Identifier: MIT
/**
 * Restores one checkpoint many times: something that every restore leaks shows after a hundred.
 * @module
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkpoint } from '../checkpoint/index.ts';
import { loadSettings } from '../settings/index.ts';
import { becomeSubreaper, collectBackgroundProcesses } from '../process/index.ts';
import { restore } from '../restore/index.ts';
import { endProgram } from '../stop/index.ts';
import { Workload } from '../workload/index.ts';
import { caseEnvironment, type BenchmarkCase } from './dump-restore.ts';
import { spreadOf, type Spread } from './summary.ts';
import { makeDirectory, makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import { WorkloadError } from '../workload/index.ts';
import { BenchmarkError } from './error.ts';
import { checkCount, checkPath } from '../check.ts';

/** What to restore, and how often. */
export interface LoopOptions {
  /** The case to measure. */
  one: BenchmarkCase;
  /** Options of workload-pattern. */
  workload: readonly string[];
  /** Number of restores. */
  rounds: number;
  /** Directory for the images. */
  store: string;
  /** Stops the loop. */
  signal?: AbortSignal | undefined;
  /** Called after every restore, with the time until its memory was verified. */
  onRound?: ((round: number, verifiedMs: number) => void) | undefined;
}

/** A number that must not grow or shrink from restore to restore. */
export interface FirstAndLast {
  /** After the first restore. */
  first: number;
  /** After the last restore. */
  last: number;
}

/** How long the restores took, and whether they leaked anything. */
export interface LoopResult {
  /** Name of the case. */
  case: string;
  /** Number of restores. */
  rounds: number;
  /** From the start of `criu restore` to the answer that every byte is right. Milliseconds. */
  verifiedMs: Spread;
  /** Free device memory while the restored program ran, in bytes: after the first restore and after the last. */
  freeBytes: FirstAndLast;
  /** Entries of the run directory: after the first restore and after the last. */
  runDirEntries: FirstAndLast;
}

async function freeDeviceMemory(workload: Workload): Promise<number> {
  const answer = await workload.ask('mem');
  const free = /^ok free=(\d+) /.exec(answer)?.[1];
  if (free === undefined) throw new WorkloadError('ERR_WORKLOAD', answer);
  return Number(free);
}

function runDirEntries(): number {
  const dir = loadSettings().settings.CRIU_CUDA_RUN_DIR;
  return existsSync(dir) ? readdirSync(dir).length : 0;
}

interface Round {
  verifiedMs: number;
  free: number;
  entries: number;
}

/** Dumps a workload once and restores it `rounds` times. @throws {@link BenchmarkError} a byte is wrong */
export async function restoreLoop(options: LoopOptions): Promise<LoopResult> {
  const { one, rounds, store, signal } = options;
  checkPath('store', store);
  checkCount('rounds', rounds, 1);
  becomeSubreaper();
  makeDirectory(store);
  const scratch = makeTemporaryDirectory('criu-cuda-loop-');
  const imagesDir = makeTemporaryDirectory('images-', store);
  const shared = {
    imagesDir,
    libdir: one.libdir,
    env: caseEnvironment(one),
    criu: one.criu,
    signal,
  };
  let workload: Workload | undefined;
  const done: Round[] = [];
  try {
    workload = await Workload.start({
      socketPath: join(scratch, 'workload.sock'),
      args: options.workload,
      ...(one.preload === undefined ? {} : { env: { LD_PRELOAD: one.preload } }),
      signal,
    });
    const checksum = await workload.verify();
    await checkpoint({ ...shared, pid: workload.pid });
    await workload.ended();
    for (let round = 0; round < rounds; round += 1) {
      signal?.throwIfAborted();
      const start = performance.now();
      await restore(shared);
      const found = await workload.verify();
      const verifiedMs = performance.now() - start;
      if (found !== checksum)
        throw new BenchmarkError(
          'ERR_BENCHMARK',
          `${one.name}: memory after restore ${round + 1} differs from that of the dumped process`,
        );
      await collectBackgroundProcesses(); // what still ends after a restore is not a leak
      const free = await freeDeviceMemory(workload);
      await endProgram(workload);
      done.push({ verifiedMs, free, entries: runDirEntries() });
      options.onRound?.(round, verifiedMs);
    }
  } finally {
    await endProgram(workload);
    removeTemporaryDirectory(imagesDir);
    removeTemporaryDirectory(scratch);
  }
  const [first, last] = [done[0], done.at(-1)];
  if (!first || !last) throw new BenchmarkError('ERR_BENCHMARK', 'there is no restore to measure');
  return {
    case: one.name,
    rounds,
    verifiedMs: spreadOf(done.map(({ verifiedMs }) => verifiedMs)),
    freeBytes: { first: first.free, last: last.free },
    runDirEntries: { first: first.entries, last: last.entries },
  };
}
