// SPDX-License-Identifier: MIT
/**
 * What a machine allows: rates measured without any checkpoint, and the time a
 * restore would take at those rates.
 * @module
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { median } from 'simple-statistics';
import { z } from 'zod';
import { EnvironmentError, UsageError } from '../errors.ts';
import { exec } from '../exec.ts';
import { builtProgram, softcudaLibrary } from '../paths.ts';
import { currentSystem, findOnPath } from '../machine/index.ts';
import { makeDirectory } from '../directory.ts';

const rate = z.number().positive();

const limitsSchema = z.object({
  /** Of this record. */
  schemaVersion: z.literal(1),
  /** ISO 8601. */
  date: z.string(),
  /** Name of the GPU. */
  device: z.string(),
  /** Measured on the software driver: the numbers mean nothing. */
  software: z.boolean(),
  /** GB/s (10⁹ bytes). */
  limits: z.object({
    /** Pinned host memory to the device: what no restore from host memory can beat. */
    pcie: rate,
    /** Ordinary host memory to the device, as a driver without staging has it. */
    pageable: rate,
    /** GPU image to device through staging buffers. */
    load: rate,
    /** Device to GPU image. */
    store: rate,
    /** The image's files read without a device, O_DIRECT where the file system has it. */
    read: rate,
    /** First touch of fresh memory by one thread: what CRIU does for every page it restores. */
    pageFaults: rate,
  }),
});

/** What the GPU, its link, the host's memory and the store can do at most. */
export type Limits = z.infer<typeof limitsSchema>;

/** @throws {@link UsageError} naming the file */
export function parseLimits(value: unknown, path: string): Limits {
  const parsed = limitsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(
    `${path} is no file of \`criu-cuda bench limits\`: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}

/** The least that each part of a restore takes. Milliseconds. */
export interface Prediction {
  pcieMs: number;
  readMs: number;
  loadMs: number;
  /** The way without GPU images: pages into fresh memory, then pageable to the device. */
  pageableMs: number;
}

/** @param bytes of device memory */
export function predict({ limits }: Limits, bytes: number): Prediction {
  const at = (gbPerSecond: number): number => bytes / gbPerSecond / 1e6;
  return {
    pcieMs: at(limits.pcie),
    readMs: at(limits.read),
    loadMs: at(limits.load),
    pageableMs: at(limits.pageFaults) + at(limits.pageable),
  };
}

const benchSchema = z.object({
  device: z.string(),
  pinnedGbPerSecond: rate,
  pageableGbPerSecond: rate,
  pageFaultGbPerSecond: rate,
  iterations: z
    .array(z.object({ evictGbPerSecond: rate, loadGbPerSecond: rate, rawReadGbPerSecond: rate }))
    .min(1),
});

/** What is measured. */
export interface LimitsOptions {
  /** Directory for the image that is written and read. */
  store: string;
  /** Device memory, as workload sizes are given: `1G`. */
  size: string;
  /** Stops the measurement. */
  signal?: AbortSignal | undefined;
}

function benchProgram(): string {
  const path = builtProgram('ccr-transfer-bench');
  if (findOnPath('ccr-transfer-bench', join(path, '..')) !== undefined) return path;
  throw new EnvironmentError('the transfer benchmark is not built', [
    { what: path, remedy: 'criu-cuda build' },
  ]);
}

/** Measures this machine; about ten times the time of one copy of `size`. */
export async function measureLimits(options: LimitsOptions): Promise<Limits> {
  const program = benchProgram();
  makeDirectory(options.store);
  const dir = mkdtempSync(join(options.store, 'limits-'));
  try {
    const args = [
      ...['--dir', dir, '--size', options.size, '--allocations', '8', '--iterations', '3'],
      ...['--vmm', '--raw', '--link', '--json'],
    ];
    const { stdout } = await exec(program, args, {
      timeoutMs: 600_000,
      signal: options.signal,
    });
    const bench = benchSchema.parse(JSON.parse(stdout));
    const of = (key: keyof (typeof bench.iterations)[0]): number =>
      median(bench.iterations.map((one) => one[key]));
    return {
      schemaVersion: 1,
      date: new Date().toISOString(),
      device: bench.device,
      software: currentSystem().env.CRIU_CUDA_DRIVER === softcudaLibrary(),
      limits: {
        pcie: bench.pinnedGbPerSecond,
        pageable: bench.pageableGbPerSecond,
        load: of('loadGbPerSecond'),
        store: of('evictGbPerSecond'),
        read: of('rawReadGbPerSecond'),
        pageFaults: bench.pageFaultGbPerSecond,
      },
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
