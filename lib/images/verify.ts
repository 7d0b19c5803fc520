// SPDX-License-Identifier: MIT
/**
 * Verifies the contents of stripes with the C program that shares its code with the loader, so there is only one
 * implementation of the checksum.
 * @module
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { EnvironmentError } from '../errors.ts';
import { execResult, tailOf } from '../exec.ts';
import { builtProgram } from '../paths.ts';
import { bytesOfFiles, ReadMeter, watchTransfer, type OnTransfer } from '../process/index.ts';
import { GpuImageError } from './error.ts';
import { checkImagesDirectory } from './read.ts';
import { checkPath } from '../check.ts';

const lineSchema = z.object({
  /** File name of the manifest. */
  manifest: z.string(),
  /** Pid of the process that was dumped. */
  pid: z.number(),
  /** Whether every byte is right. */
  ok: z.boolean(),
  /** Chunks that were checked. */
  chunks: z.number(),
  /** The zero chunks among them, which are not stored. */
  zeroChunks: z.number(),
  /** Bytes that were read. */
  storedBytes: z.number(),
  /** What is wrong, with the names of file and field. */
  error: z.string().optional(),
});

/** The result for one image. If it is not ok, `error` names file and field. */
export type VerifiedImage = z.infer<typeof lineSchema>;

/** How to verify images. */
export interface VerifyOptions {
  /** Stops the check. */
  signal?: AbortSignal | undefined;
  /** Called about three times per second with the bytes that are read. */
  onProgress?: OnTransfer | undefined;
  /** Path of the program. @default `ccr-image` of this project's C build */
  program?: string | undefined;
}

/** Stripes of GPU images, and page files. */
const CONTENTS = /^cuda-(?:\d+-\d+|pages-.+)\.img$/;

/** Verifying terabytes takes long; a caller that sees no progress can abort. */
const TIMEOUT_MS = 24 * 3600 * 1000;

/**
 * Reads every byte of every GPU image in a directory. A damaged image is part of the result, not an error.
 * @throws {@link GpuImageError} the directory contains no GPU image
 * @throws {@link EnvironmentError} there is no such directory
 */
export async function verifyGpuImages(
  directory: string,
  options: VerifyOptions = {},
): Promise<VerifiedImage[]> {
  checkPath('directory', directory);
  checkImagesDirectory(directory);
  const program = options.program ?? builtProgram('ccr-image');
  if (!existsSync(program)) {
    throw new EnvironmentError(`${program} is not built`, [
      { what: 'the C programs', remedy: 'criu-cuda build' },
    ]);
  }
  const { signal, onProgress } = options;
  let stopWatching: (() => void) | undefined;
  const result = await execResult(program, ['verify', resolve(directory)], {
    timeoutMs: TIMEOUT_MS,
    signal,
    onSpawn: (pid) => {
      if (!onProgress) return;
      const meter = new ReadMeter(bytesOfFiles(directory, CONTENTS).size);
      stopWatching = watchTransfer(() => meter.read(pid), onProgress);
    },
  }).finally(() => stopWatching?.());
  const lines = result.stdout.split('\n').filter((line) => line !== '');
  if (lines.length === 0) {
    throw new GpuImageError(tailOf(result.stderr) || `${directory} does not contain a GPU image`);
  }
  return lines.map((line) => lineSchema.parse(JSON.parse(line)));
}
