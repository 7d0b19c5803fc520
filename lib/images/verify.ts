// SPDX-License-Identifier: MIT
/**
 * Checks what the stripes hold, by the C program that shares its code with the
 * loader: there is one implementation of the checksum.
 * @module
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { EnvironmentError } from '../errors.ts';
import { execResult, tailOf } from '../exec.ts';
import { builtProgram } from '../paths.ts';
import { GpuImageError } from './error.ts';
import { checkPath } from '../check.ts';

const lineSchema = z.object({
  /** File name of the manifest. */
  manifest: z.string(),
  /** The process that was dumped. */
  pid: z.number(),
  /** Every byte is right. */
  ok: z.boolean(),
  /** Chunks that were looked at. */
  chunks: z.number(),
  /** Those of them that are zero and not stored. */
  zeroChunks: z.number(),
  /** Bytes that were read. */
  storedBytes: z.number(),
  /** What is wrong, with file and field. */
  error: z.string().optional(),
});

/** What was found out about one image. `error` names the file and the field when it is not ok. */
export type VerifiedImage = z.infer<typeof lineSchema>;

/** How images are checked. */
export interface VerifyOptions {
  /** Stops the check. */
  signal?: AbortSignal | undefined;
  /** @default the program of this project's C build */
  program?: string | undefined;
}

/** Terabytes take a while, and a directory without progress is stopped by its caller. */
const TIMEOUT_MS = 24 * 3600 * 1000;

/** Reads all of every GPU image in a directory. An image that is not whole is in the result, not thrown. */
export async function verifyGpuImages(
  directory: string,
  options: VerifyOptions = {},
): Promise<VerifiedImage[]> {
  checkPath('directory', directory);
  const program = options.program ?? builtProgram('ccr-image');
  if (!existsSync(program)) {
    throw new EnvironmentError(`${program} is not there`, [
      { what: 'the C programs', remedy: 'criu-cuda build' },
    ]);
  }
  const result = await execResult(program, ['verify', resolve(directory)], {
    timeoutMs: TIMEOUT_MS,
    signal: options.signal,
  });
  const lines = result.stdout.split('\n').filter((line) => line !== '');
  if (lines.length === 0) {
    throw new GpuImageError(tailOf(result.stderr) || `${directory}: no GPU image`);
  }
  return lines.map((line) => lineSchema.parse(JSON.parse(line)));
}
