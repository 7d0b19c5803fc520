// SPDX-License-Identifier: MIT
/**
 * Compresses and decompresses blocks with the program zstd. The same bytes give the same ones again with the same version
 * of it, whatever the number of threads.
 * @module
 */
import { rm, stat } from 'node:fs/promises';
import { CommandError, EnvironmentError } from '../../errors.ts';
import { execResult, tailOf } from '../../exec.ts';
import { findOnPath } from '../../machine/index.ts';
import { RegistryError } from '../error.ts';

/** One block; even a slow machine needs seconds. */
const TIMEOUT_MS = 3600 * 1000;

/** docs/small-images.md, Host memory: higher levels take twice as long and save 7 %. */
const LEVEL = '-1';

/** Whether this machine has zstd. */
export const hasZstd = (): boolean => findOnPath('zstd', process.env.PATH) !== undefined;

/** @throws {@link EnvironmentError} there is no zstd */
export function requireZstd(): string {
  const path = findOnPath('zstd', process.env.PATH);
  if (path !== undefined) return path;
  throw new EnvironmentError('zstd is missing, which decompresses images', [
    { what: 'zstd', remedy: 'apt-get install --no-install-recommends zstd' },
  ]);
}

/** The program's complaint, without its name and the file's. */
const reasonIn = (stderr: string): string => tailOf(stderr, 1).replace(/^zstd: /, '');

/** What programs say of a full disk, as Node's own functions do. */
export function throwIfFull(reason: string): void {
  if (/no space left on device|disk quota exceeded/i.test(reason))
    throw Object.assign(new Error(reason), { code: 'ENOSPC' });
}

/**
 * Compresses a file.
 * @param threads of zstd
 * @returns bytes of the compressed file
 * @throws an error with the code `ENOSPC` where there is no space for it
 */
export async function compressFile(
  from: string,
  to: string,
  signal: AbortSignal | undefined,
  threads = 1,
): Promise<number> {
  const words = ['-q', '-f', LEVEL, `-T${threads}`, '-o', to, from];
  const { exitCode, stderr } = await execResult(requireZstd(), words, { timeoutMs: TIMEOUT_MS, signal });
  if (exitCode !== 0) {
    await rm(to, { force: true });
    const reason = reasonIn(stderr);
    throwIfFull(reason);
    throw new RegistryError('ERR_REGISTRY', `cannot compress: ${reason}`);
  }
  return (await stat(to)).size;
}

/** What a block is, for messages, and how many bytes it has. */
export interface CompressedBlock {
  /** Of the compressed bytes. */
  digest: string;
  /** Of the block before it was compressed. */
  size: number;
}

/**
 * Decompresses a file. The kernel lets zstd write no more than the block has: what would become larger takes no space.
 * @throws {@link RegistryError} it is not the compressed block, or there is no space for it
 */
export async function decompressFile(
  from: string,
  to: string,
  { digest, size }: CompressedBlock,
  signal: AbortSignal | undefined,
): Promise<void> {
  const limits = [`--fsize=${size}:${size}`, '--core=0:0'];
  const words = [...limits, requireZstd(), '-d', '-q', '-f', '-o', to, from];
  const problem = await execResult('prlimit', words, { timeoutMs: TIMEOUT_MS, signal }).then(
    ({ exitCode, stderr }) => (exitCode === 0 ? undefined : reasonIn(stderr)),
    (error: unknown) => {
      if (error instanceof CommandError && error.facts.signal === 'SIGXFSZ')
        return `it has more than ${size} bytes`;
      throw error;
    },
  );
  const written = problem === undefined ? (await stat(to)).size : 0;
  if (problem === undefined && written === size) return;
  await rm(to, { force: true });
  throw new RegistryError(
    'ERR_REGISTRY_IMAGE',
    `cannot decompress block ${digest}: ${problem ?? `it has ${written} bytes, and not ${size}`}`,
    { hint: 'push the image again; if it says that there is no space, free some' },
  );
}
