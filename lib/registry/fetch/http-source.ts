// SPDX-License-Identifier: MIT
/**
 * Reads blobs of a registry by HTTP, as the distribution specification describes it. It knows passwords, but no tokens, and
 * gives the password to no other host than the registry's.
 * @module
 */
import { Agent as PlainAgent, get as plainGet, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as TlsAgent, get as tlsGet } from 'node:https';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import { Pace, SILENCE_MS } from './pace.ts';
import { SimpleConnection } from './simple-connection.ts';
import { SourceError, type BlobRange, type BlobSource } from './source.ts';
import { connectTls, trustOptions } from './tls.ts';

/** How a registry is reached by HTTP. */
export interface HttpSourceSpec {
  kind: 'http';
  /** For messages. */
  name: string;
  /** Scheme, host and port: `https://registry.example.com:5000`. */
  origin: string;
  /** Path of the repository in the registry. */
  repository: string;
  /** `Authorization` header for this origin. */
  authorization: string | undefined;
  /** Certificates that are trusted, PEM; `undefined`: every certificate. */
  ca: string[] | undefined;
  /** Where a redirect may lead without TLS: to this machine, or to any. */
  plainTo: 'nowhere' | 'loopback' | 'anywhere';
  /** A connection that is silent for so long is given up. Milliseconds. @default 60_000 */
  silenceMs?: number | undefined;
  /** The same for one that sends less, on average, for so long. Bytes per second. @default 1024 */
  leastRate?: number | undefined;
}

const MOST_REDIRECTS = 5;
/** A registry may ask to be left alone; not for longer than this. Milliseconds. */
const MOST_WAIT_MS = 30_000;
/** Of an answer without bytes of a blob, what is read so that its connection can be used again. Bytes. */
const MOST_LEFT = 65_536;

/** A host name that can only be this machine. */
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host);

const silent = (ms: number): string => `was silent for ${Math.round(ms / 1000)} s`;

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** Seconds, or a date. @returns milliseconds */
function retryAfter(header: string | undefined): number {
  if (header === undefined) return 0;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(0, seconds * 1000), MOST_WAIT_MS) : 0;
}

/** Leaves an answer that has nothing for us, and its connection, unless that means to read much. */
function leave(answer: IncomingMessage): void {
  const { 'content-length': length } = answer.headers;
  if (length !== undefined && Number(length) <= MOST_LEFT) answer.resume();
  else answer.destroy();
}

const passing = (name: string, why: string, waitMs = 0): SourceError =>
  new SourceError('passing', `${name} ${why}`, waitMs);

/** How to connect to the host of an address. */
function opener({ protocol, hostname, port }: URL, ca: string[] | undefined): (onread: OnReadOpts) => Socket {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol === 'http:') return (onread) => connect({ host, port: Number(port || 80), onread });
  const servername = isIP(host) === 0 ? host : '';
  return (onread) => connectTls({ host, port: Number(port || 443), servername, onread, ...trustOptions(ca) });
}

/** One connection to a registry, and one to each host that it redirects to. */
export class HttpSource implements BlobSource {
  readonly name: string;
  readonly #spec: HttpSourceSpec;
  readonly #plain = new PlainAgent({ keepAlive: true });
  readonly #tls: TlsAgent;
  /** Until an answer is not the simplest. */
  #simple: SimpleConnection | undefined;

  constructor(spec: HttpSourceSpec) {
    const { ca, origin, silenceMs = SILENCE_MS, leastRate } = spec;
    this.name = spec.name;
    this.#spec = spec;
    const url = new URL(origin);
    this.#simple = new SimpleConnection({
      ...{ name: spec.name, host: url.host, silenceMs, leastRate, open: opener(url, ca) },
      ready: url.protocol === 'https:' ? 'secureConnect' : 'connect',
    });
    this.#tls = new TlsAgent({
      keepAlive: true,
      ...trustOptions(ca),
    });
  }

  close(): void {
    this.#simple?.close();
    this.#plain.destroy();
    this.#tls.destroy();
  }

  #headers(url: URL, { offset, length, size }: BlobRange): Record<string, string> {
    const { origin, authorization } = this.#spec;
    const isWhole = offset === 0 && length === size;
    return {
      'accept-encoding': 'identity',
      ...(isWhole ? {} : { range: `bytes=${offset}-${offset + length - 1}` }),
      // a redirect to a store of blobs has its own permission in its address
      ...(url.origin === origin && authorization !== undefined ? { authorization } : {}),
    };
  }

  /** Begins a request. @returns the answer, without its body */
  #ask(url: URL, range: BlobRange, signal: AbortSignal): Promise<IncomingMessage> {
    const { silenceMs = SILENCE_MS } = this.#spec;
    const headers = this.#headers(url, range);
    const isTls = url.protocol === 'https:';
    const options: RequestOptions = { headers, signal, agent: isTls ? this.#tls : this.#plain };
    return new Promise((resolve, reject) => {
      const request = (isTls ? tlsGet : plainGet)(url, options, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      const timer = setTimeout(() => {
        request.destroy(new Error(silent(silenceMs)));
      }, silenceMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        reject(passing(this.name, `does not answer: ${error.message}`));
      });
    });
  }

  /** @throws {@link SourceError} it would send the memory of a program over a network without TLS */
  #next(from: URL, location: string | undefined): URL {
    if (location === undefined || !URL.canParse(location, from.href))
      throw passing(this.name, 'redirects to nowhere');
    const url = new URL(location, from);
    const { plainTo } = this.#spec;
    const isPrivate =
      url.protocol === 'https:' ||
      (url.protocol === 'http:' &&
        (plainTo === 'anywhere' || (plainTo === 'loopback' && isLoopback(url.hostname))));
    if (!isPrivate)
      throw new SourceError('refused', `${this.name} redirects to ${url.origin}, which has no TLS`);
    return url;
  }

  /** @throws {@link SourceError} for an answer that has no bytes of the blob */
  #check({ statusCode = 0, headers }: IncomingMessage, { digest, offset, length, size }: BlobRange): void {
    const { name } = this;
    const what = `answers ${statusCode} for ${digest}`;
    if (statusCode === 200 || statusCode === 206) {
      if ((headers['content-encoding'] ?? 'identity') !== 'identity')
        throw new SourceError('unfit', `${name} sends other bytes than the blob's`);
      const expected = statusCode === 200 ? size : length;
      const announced = headers['content-length'];
      if (announced !== undefined && Number(announced) !== expected)
        throw new SourceError('absent', `${name} has ${announced} bytes for ${digest}, and not ${expected}`);
      if (statusCode === 200) return;
      const [, from] = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
      if (Number(from) !== offset)
        throw passing(name, `sends another part of ${digest}, which has ${size} bytes`);
      return;
    }
    if (statusCode === 404 || statusCode === 410) throw new SourceError('absent', `${name} ${what}`);
    if (statusCode === 408 || statusCode === 425 || statusCode === 429 || statusCode >= 500)
      throw passing(name, what, retryAfter(headers['retry-after']));
    throw new SourceError('unfit', `${name} ${what}`);
  }

  /** Hands over the bytes of an answer. A registry that knows no ranges sends the whole blob. */
  async #take(answer: IncomingMessage, range: BlobRange, take: (part: Uint8Array) => void): Promise<void> {
    const { digest, offset, length } = range;
    const { silenceMs = SILENCE_MS, leastRate } = this.#spec;
    let skipped = answer.statusCode === 200 ? offset : 0;
    let left = length;
    const isEndless = answer.statusCode === 200 && offset + length < range.size;
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(passing(this.name, why));
        answer.destroy();
      };
      const pace = new Pace(silenceMs, leastRate, fail);
      answer.on('data', (bytes: Buffer) => {
        pace.add(bytes.length);
        const part = skipped > 0 ? bytes.subarray(skipped) : bytes;
        skipped = Math.max(0, skipped - bytes.length);
        if (part.length > left && !isEndless) {
          fail(`sends more bytes of ${digest} than it has`);
          return;
        }
        const wanted = part.subarray(0, left);
        left -= wanted.length;
        try {
          if (wanted.length > 0) take(wanted);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
          answer.destroy();
          return;
        }
        if (left === 0 && isEndless) {
          resolve();
          answer.destroy();
        }
      });
      answer.once('end', () => {
        if (left === 0) resolve();
        else fail(`sends too few bytes of ${digest}: ${length - left} of ${length}`);
      });
      answer.once('error', (error) => {
        fail(`breaks off: ${error.message}`);
      });
      answer.setTimeout(silenceMs, () => {
        fail(silent(silenceMs));
      });
      answer.once('close', () => {
        pace.end();
        fail('closes the connection in the middle');
      });
    });
  }

  async read(range: BlobRange, take: (part: Uint8Array) => void, signal: AbortSignal): Promise<void> {
    const { origin, repository } = this.#spec;
    let url = new URL(`/v2/${repository}/blobs/${range.digest}`, origin);
    if (this.#simple) {
      const lines = Object.entries(this.#headers(url, range)).map(([name, value]) => `${name}: ${value}`);
      if ((await this.#simple.get(url.pathname, lines, range, take, signal)) === 'taken') return;
      this.#simple.close();
      this.#simple = undefined;
    }
    for (let redirects = 0; redirects <= MOST_REDIRECTS; redirects += 1) {
      const answer = await this.#ask(url, range, signal);
      if (!REDIRECTS.has(answer.statusCode ?? 0)) {
        try {
          this.#check(answer, range);
        } catch (error) {
          leave(answer);
          throw error;
        }
        await this.#take(answer, range, take);
        return;
      }
      leave(answer);
      url = this.#next(url, answer.headers.location);
    }
    throw passing(this.name, `redirects ${MOST_REDIRECTS} times and more`);
  }
}
