// SPDX-License-Identifier: MIT
/**
 * Sends blobs to a registry by HTTP, as the distribution specification describes it, where nothing else is needed. Every
 * answer that is not the expected one leaves the blob to skopeo, which may know better, or says what is wrong.
 * @module
 */
import { once } from 'node:events';
import {
  Agent as PlainAgent,
  request as plainRequest,
  type ClientRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { basename, dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { HttpSourceSpec } from '../fetch/http-source.ts';
import { trustOptions } from '../fetch/tls.ts';
import { runsOf, type BlobParts } from './read.ts';

const ATTEMPTS = 3;
const PAUSE_MS = 200;
const SILENCE_MS = 60_000;

/** A blob, and where its bytes are. */
export interface SentBlob extends BlobParts {
  digest: string;
  size: number;
}

/** A blob that is a file. */
export const blobOfFile = (path: string, digest: string, size: number): SentBlob => ({
  ...{ digest, size, dir: dirname(path) },
  parts: [{ source: basename(path), from: 0, length: size, end: size, target: undefined }],
});

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
}

const isPassing = ({ status }: Answer): boolean => status === 408 || status === 429 || status >= 500;

/** Sends one run after the other: the connection has none of its bytes any more when the next one is read. */
async function sendBody(request: ClientRequest, blob: SentBlob): Promise<void> {
  const closed = once(request, 'close').then(() => Promise.reject(new Error('the connection was closed')));
  closed.catch(() => undefined); // after the last run it means nothing
  for (const run of runsOf(blob)) {
    const written = new Promise<void>((resolve, reject) => {
      request.write(run, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
    await Promise.race([written, closed]);
  }
  request.end();
}

/** Connections of one thread to a registry. */
export class Uploader {
  readonly #spec: HttpSourceSpec;
  readonly #agent: PlainAgent | TlsAgent;

  constructor(spec: HttpSourceSpec) {
    const { ca, origin } = spec;
    this.#spec = spec;
    this.#agent = origin.startsWith('https:')
      ? new TlsAgent({ keepAlive: true, ...trustOptions(ca) })
      : new PlainAgent({ keepAlive: true });
  }

  close(): void {
    this.#agent.destroy();
  }

  #ask(method: string, url: URL, blob?: SentBlob): Promise<Answer> {
    const { authorization } = this.#spec;
    const headers = {
      'content-length': blob?.size ?? 0,
      ...(blob ? { 'content-type': 'application/octet-stream' } : {}),
      ...(authorization === undefined ? {} : { authorization }),
    };
    return new Promise((resolve, reject) => {
      const send = url.protocol === 'https:' ? tlsRequest : plainRequest;
      const request = send(url, { method, headers, agent: this.#agent, timeout: SILENCE_MS });
      request.once('response', (answer) => {
        const isDone = request.writableFinished;
        answer.resume().once('close', () => {
          if (!isDone) request.destroy();
        });
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers });
      });
      request.once('timeout', () => request.destroy(new Error('silent')));
      request.on('error', reject);
      if (blob) sendBody(request, blob).catch((error: unknown) => request.destroy(error as Error));
      else request.end();
    });
  }

  /** @returns false where the registry does not take it this way; `undefined`: a later attempt may succeed */
  async #try(blob: SentBlob): Promise<boolean | undefined> {
    const { origin, repository } = this.#spec;
    const { digest, size } = blob;
    const known = await this.#ask('HEAD', new URL(`/v2/${repository}/blobs/${digest}`, origin));
    if (known.status === 200 && Number(known.headers['content-length']) === size) return true;
    if (isPassing(known)) return undefined;
    if (known.status !== 404) return false;
    const begun = await this.#ask('POST', new URL(`/v2/${repository}/blobs/uploads/`, origin));
    if (isPassing(begun)) return undefined;
    const { location } = begun.headers;
    if (begun.status !== 202 || location === undefined || !URL.canParse(location, origin)) return false;
    const url = new URL(location, origin);
    if (url.origin !== origin) return false; // the memory of a program, and a password, go to no other host
    url.searchParams.set('digest', digest);
    const sent = await this.#ask('PUT', url, blob);
    return isPassing(sent) ? undefined : sent.status === 201;
  }

  /** Sends a blob that the registry does not have. @returns whether it has it; if not, skopeo may know better */
  async send(blob: SentBlob): Promise<boolean> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      if (attempt > 1) await wait(PAUSE_MS * 2 ** attempt);
      const done = await this.#try(blob).catch(() => undefined);
      if (done !== undefined) return done;
    }
    return false;
  }
}
