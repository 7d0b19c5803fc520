// SPDX-License-Identifier: MIT
/** Benchmark results with numbers that can be checked by mental arithmetic. */
import {
  createResult,
  type BenchmarkEnvironment,
  type BenchmarkResult,
  type ResultCase,
  type Sample,
} from '../../lib/benchmark/index.ts';

export function environment(changes: Partial<BenchmarkEnvironment> = {}): BenchmarkEnvironment {
  return {
    date: '2026-01-02T03:04:05.000Z',
    kernel: '6.1',
    cpus: '4 × test',
    memory: 2 ** 34,
    transparentHugePages: 'madvise',
    imageStore: { path: '/store', type: 'tmpfs', options: 'rw' },
    criu: '4.2.1',
    gpu: 'Test GPU',
    driver: '580.1',
    software: false,
    ...changes,
  };
}

/** A restore that is verified after `verifiedMs`, a tenth of which is not criu's; the dump takes twice as long. */
export function sample(name: string, round: number, verifiedMs: number): Sample {
  const restoreMs = verifiedMs * 0.9;
  return {
    case: name,
    round,
    coldMs: 1000,
    dumpMs: verifiedMs * 2,
    dumpPhases: [{ part: 'criu', name: 'rest', durationMs: verifiedMs * 2 }],
    restoreMs,
    restorePhases: [
      { part: 'driver', name: 'restore', durationMs: restoreMs / 3 },
      { part: 'criu', name: 'rest', durationMs: (restoreMs / 3) * 2 },
    ],
    verifiedMs,
    imageBytes: 2 ** 20,
  };
}

export function resultCase(name: string, settings?: ResultCase['settings']): ResultCase {
  return { name, interceptor: false, env: {}, ...(settings === undefined ? {} : { settings }) };
}

/** @param times milliseconds from restore to verified, by case */
export function result(
  times: Readonly<Record<string, readonly number[]>>,
  changes: Partial<BenchmarkResult> = {},
): BenchmarkResult {
  return createResult({
    environment: environment(),
    workload: ['--alloc', '512Mx4'],
    cases: Object.keys(times).map((name) => resultCase(name)),
    samples: Object.entries(times).flatMap(([name, values]) =>
      values.map((ms, round) => sample(name, round, ms)),
    ),
    ...changes,
  });
}
