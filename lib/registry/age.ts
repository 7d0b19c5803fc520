// SPDX-License-Identifier: MIT
/**
 * Encrypts and decrypts blocks with the program age. Each encryption of the same block gives other bytes: encrypted images
 * share nothing.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EnvironmentError, UsageError } from '../errors.ts';
import { execResult, tailOf } from '../exec.ts';
import { findOnPath } from '../machine/index.ts';
import { throwIfFull } from './compression/zstd.ts';
import { RegistryError } from './error.ts';
import { hexOf } from './format.ts';

/** One block; even a slow machine needs seconds. */
const TIMEOUT_MS = 3600 * 1000;

/** @throws {@link EnvironmentError} there is no age */
export function requireAge(): string {
  const path = findOnPath('age', process.env.PATH);
  if (path !== undefined) return path;
  throw new EnvironmentError('age is missing, which encrypts and decrypts images', [
    { what: 'age', remedy: 'apt-get install --no-install-recommends age' },
  ]);
}

/** @throws {@link UsageError} one is not a public key of age */
export function checkRecipients(recipients: readonly string[]): void {
  const wrong = recipients.find((one) => !/^age1[a-z0-9]{20,}$/.test(one));
  if (wrong === undefined) return;
  throw new UsageError(
    `"${wrong}" is not a public key of age`,
    'age-keygen prints one, which begins with age1',
  );
}

async function age(words: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
  const { exitCode, stderr } = await execResult(requireAge(), words, { timeoutMs: TIMEOUT_MS, signal });
  return exitCode === 0 ? undefined : tailOf(stderr, 3).replaceAll(/^age: (?:error: )?/gm, '');
}

/** The SHA-256 of a file, as a digest. */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path, { highWaterMark: 2 ** 20 })) hash.update(part as Buffer);
  return `sha256:${hash.digest('hex')}`;
}

/**
 * Puts an encrypted file in the place of a block.
 * @throws an error with the code `ENOSPC` where there is no space for it
 */
export async function encryptBlock(
  path: string,
  recipients: readonly string[],
  signal: AbortSignal | undefined,
): Promise<{ path: string; digest: string; size: number }> {
  const part = `${path}.age`;
  const words = recipients.flatMap((one) => ['--recipient', one]);
  const problem = await age(['--encrypt', ...words, '--output', part, path], signal);
  if (problem !== undefined) {
    throwIfFull(problem);
    throw new RegistryError('ERR_REGISTRY', `cannot encrypt: ${problem}`);
  }
  await rm(path);
  const digest = await digestOfFile(part);
  const encrypted = join(dirname(path), hexOf(digest));
  await rename(part, encrypted);
  return { path: encrypted, digest, size: (await stat(encrypted)).size };
}

/**
 * Decrypts a file.
 * @throws {@link RegistryError} no identity fits, or the file is damaged
 */
export async function decryptFile(
  from: string,
  to: string,
  identity: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const problem = await age(['--decrypt', '--identity', identity, '--output', to, from], signal);
  if (problem === undefined) return;
  await rm(to, { force: true });
  throw new RegistryError('ERR_REGISTRY_IMAGE', `cannot decrypt: ${problem}`, {
    hint: 'pass the private key of one of the recipients with --identity FILE',
  });
}
