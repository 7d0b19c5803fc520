// SPDX-License-Identifier: MIT
/**
 * The limits of a machine: transfer rates measured without a checkpoint, and how long a restore would take at those
 * rates.
 * @module
 */
import { join } from 'node:path';
import { median } from 'simple-statistics';
import { z } from 'zod';
import { EnvironmentError, UsageError } from '../errors.ts';
import { exec } from '../exec.ts';
import { usesSoftwareDriver } from '../gpu/index.ts';
import { builtProgram } from '../paths.ts';
import { currentSystem, findOnPath } from '../machine/index.ts';
import { makeDirectory, makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';

const rate = z.number().positive();

const limitsSchema = z.object({
  /** Version of this format. */
  schemaVersion: z.literal(1),
  /** ISO 8601. */
  date: z.string(),
  /** Name of the GPU. */
  device: z.string(),
  /** Whether it was measured on the software driver, where rates mean nothing. */
  software: z.boolean(),
  /** GB/s (10⁹ bytes). */
  limits: z.object({
    /** Pinned host memory to the device: the upper limit for any restore from host memory. */
    pcie: rate,
    /** Ordinary host memory to the device, as in a driver without staging. */
    pageable: rate,
    /** GPU image to device, through staging buffers. */
    load: rate,
    /** Device to GPU image, through staging buffers. */
    store: rate,
    /** Reading the image's files without a device, with O_DIRECT where the file system supports it. */
    read: rate,
    /** First touch of fresh memory by one thread, which CRIU does for every page it restores. */
    pageFaults: rate,
  }),
});

/** The highest rates of the GPU, its link, the host's memory and the store. */
export type Limits = z.infer<typeof limitsSchema>;

/** Checks the value of a limits file. @throws {@link UsageError} naming the file */
export function parseLimits(value: unknown, path: string): Limits {
  const parsed = limitsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(
    `${path} was not written by \`criu-cuda bench limits\`: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
  );
}

/** The shortest time that each part of a restore can take. Milliseconds. */
export interface Prediction {
  pcieMs: number;
  readMs: number;
  loadMs: number;
  /** Without GPU images: CRIU reads pages into fresh memory, which the driver copies as pageable memory. */
  pageableMs: number;
}

/** Predicts the shortest times. @param bytes size of the device memory */
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

/** What to measure. */
export interface LimitsOptions {
  /** Directory for the image that is written and read. */
  store: string;
  /** Size of the device memory, in the notation of workload sizes: `1G`. */
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

/**
 * Measures this machine; takes about ten times as long as one copy of `size`.
 * @throws `EnvironmentError` the C parts are not built
 */
export async function measureLimits(options: LimitsOptions): Promise<Limits> {
  const program = benchProgram();
  makeDirectory(options.store);
  const dir = makeTemporaryDirectory('limits-', options.store);
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
      software: await usesSoftwareDriver(currentSystem().env),
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
    removeTemporaryDirectory(dir);
  }
}
