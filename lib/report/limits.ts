// SPDX-License-Identifier: MIT
/**
 * What a machine allows: rates measured without any checkpoint, and the time a
 * restore would take at those rates.
 * @module
 */
import { z } from 'zod';
import { UsageError } from '../errors.ts';

const rate = z.number().positive();

const limitsSchema = z.object({
  schemaVersion: z.literal(1),
  date: z.string(),
  device: z.string(),
  software: z.boolean(),
  /** GB/s (10⁹ bytes). */
  limits: z.object({
    /** Pinned host memory to the device: what no restore from host memory can beat. */
    pcie: rate,
    /** GPU image to device through staging buffers. */
    load: rate,
    /** Device to GPU image. */
    store: rate,
    /** The image's files read without a device, O_DIRECT where the file system has it. */
    read: rate,
    /** First touch of fresh anonymous memory by one thread. */
    pageFaults: rate,
  }),
});

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

export interface Prediction {
  /** Milliseconds. */
  pcieMs: number;
  readMs: number;
  loadMs: number;
}

/** The least a restore of so much device memory takes. @param bytes of device memory */
export function predict({ limits }: Limits, bytes: number): Prediction {
  const at = (gbPerSecond: number): number => bytes / gbPerSecond / 1e6;
  return { pcieMs: at(limits.pcie), readMs: at(limits.read), loadMs: at(limits.load) };
}
