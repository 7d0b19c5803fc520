// SPDX-License-Identifier: MIT
/**
 * Reads manifests and descriptions of a registry by HTTP, where {@link directAccess} says that nothing else is needed: a
 * program that does so has to be started first, which takes longer.
 * @module
 */
import { get as plainGet, type IncomingMessage } from 'node:http';
import { get as tlsGet } from 'node:https';
import type { BlobRef } from '../cache.ts';
import { manifestType } from '../format.ts';
import { HttpSource, type HttpSourceSpec } from './http-source.ts';
import { Pace } from './pace.ts';
import { SourceError } from './source.ts';
import { trustOptions } from './tls.ts';

const MOST_BYTES = 4 * 2 ** 20;
const TIMEOUT_MS = 30_000;

/** Collects an answer. @returns `undefined` for anything but a whole one */
function bodyOf(answer: IncomingMessage, resolve: (body: Buffer | undefined) => void): void {
  const parts: Buffer[] = [];
  let length = 0;
  answer.on('data', (part: Buffer) => {
    length += part.length;
    if (length > MOST_BYTES) answer.destroy();
    else parts.push(part);
  });
  answer.once('close', () => {
    resolve(answer.complete ? Buffer.concat(parts) : undefined);
  });
  answer.once('error', () => undefined);
}

/**
 * Reads a manifest, as the registry has it; nobody has compared it with a digest.
 * @param name its tag or digest
 * @returns `undefined` for every answer but the manifest: skopeo may get another one, or says what is wrong
 */
export function readManifest(
  { origin, repository, authorization, ca }: HttpSourceSpec,
  name: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const options = {
      headers: { accept: manifestType, ...(authorization === undefined ? {} : { authorization }) },
      ...trustOptions(ca),
      ...{ agent: false as const, signal, timeout: TIMEOUT_MS },
    };
    const get = origin.startsWith('https:') ? tlsGet : plainGet;
    const request = get(`${origin}/v2/${repository}/manifests/${name}`, options, (answer) => {
      answer.on('data', (part: Buffer) => {
        pace.add(part.length);
      });
      bodyOf(answer, (body) => {
        const isManifest = answer.statusCode === 200 && answer.headers['content-type'] === manifestType;
        resolve(isManifest ? body?.toString('utf8') : undefined);
      });
    });
    const pace = new Pace(TIMEOUT_MS, undefined, () => request.destroy());
    request.once('close', () => {
      pace.end();
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => {
      if (signal?.aborted === true) reject(signal.reason as Error);
      else resolve(undefined);
    });
  });
}

/**
 * Reads a small blob; nobody has compared it with its digest.
 * @returns `undefined` where skopeo may know better
 */
export async function readSmallBlob(
  spec: HttpSourceSpec,
  { digest, size }: BlobRef,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (size === 0 || size > MOST_BYTES) return undefined;
  const source = new HttpSource(spec);
  const parts: Buffer[] = [];
  try {
    const take = (part: Uint8Array): void => void parts.push(Buffer.from(part));
    const range = { digest, size, offset: 0, length: size };
    await source.read(range, take, signal ?? new AbortController().signal);
    return Buffer.concat(parts).toString('utf8');
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof SourceError) return undefined;
    throw error;
  } finally {
    source.close();
  }
}
