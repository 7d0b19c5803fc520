// SPDX-License-Identifier: MIT
/**
 * Reads blobs from other nodes. None of them is trusted with more than bytes: the caller compares the digest. One that
 * is dead, slow or wrong is asked no more, so what it costs is bounded, and the registry is asked after all of them.
 * @module
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Agent, get } from 'node:https';
import { SourceError, type BlobRange, type BlobSource } from '../fetch/source.ts';
import { blobPathOf, clientTls, parsePeer } from './protocol.ts';

/** Nodes that are asked before a registry. */
export interface PeersSpec {
  kind: 'peers';
  /** `HOST:PORT` of each. */
  peers: readonly string[];
  /** The key that nodes share, hexadecimal. */
  key: string;
  /** Until a peer begins to answer. Milliseconds. @default 5_000 */
  answerMs?: number | undefined;
  /** A peer that sends nothing for so long is given up. Milliseconds. @default 10_000 */
  silenceMs?: number | undefined;
  /** Least rate; a slower peer is given up. Bytes per second. @default 4 MiB */
  leastRate?: number | undefined;
  /** What it may take besides. Milliseconds. @default 10_000 */
  graceMs?: number | undefined;
}

const ANSWER_MS = 5000;
const SILENCE_MS = 10_000;
const LEAST_RATE = 4 * 2 ** 20;
const GRACE_MS = 10_000;

type Take = (part: Uint8Array) => void;

/** A peer does not have the blob: another may. */
class Absent extends Error {}

/** The same for a blob and a peer on all nodes: so blobs are spread over the peers. */
const placeOf = (peer: string, digest: string): string =>
  createHash('sha256').update(`${digest} ${peer}`).digest('hex');

/** Connections of one thread to the peers. */
export class PeersSource implements BlobSource {
  readonly name = 'a peer';
  readonly #spec: PeersSpec;
  readonly #agent: Agent;
  /** Those that are asked no more. */
  readonly #aside = new Set<string>();
  /** Who has sent bytes of a blob. */
  readonly #senders = new Map<string, Set<string>>();

  constructor(spec: PeersSpec) {
    this.#spec = spec;
    this.#agent = new Agent({ ...clientTls(spec.key), keepAlive: true, maxCachedSessions: 0 });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** What has arrived of a blob was not the blob: none of those who sent it is asked again. */
  distrust(digest: string): void {
    for (const peer of this.#senders.get(digest) ?? []) this.#aside.add(peer);
  }

  #ask(peer: string, { digest, offset, length }: BlobRange, signal: AbortSignal): Promise<IncomingMessage> {
    const { answerMs = ANSWER_MS } = this.#spec;
    const headers = { range: `bytes=${offset}-${offset + length - 1}` };
    return new Promise((resolve, reject) => {
      const place = parsePeer(peer);
      const request = get(
        { ...place, path: blobPathOf(digest), headers, agent: this.#agent, signal },
        (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
      );
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer in ${answerMs} ms`));
      }, answerMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  }

  /** Hands over the bytes of an answer, as long as they come fast enough. */
  async #take(answer: IncomingMessage, length: number, take: Take): Promise<void> {
    const { silenceMs = SILENCE_MS, leastRate = LEAST_RATE, graceMs = GRACE_MS } = this.#spec;
    let left = length;
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new Error(why));
        answer.destroy();
      };
      let silence = setTimeout(fail, silenceMs, 'it was silent');
      const tooSlow = setTimeout(fail, graceMs + (length / leastRate) * 1000, 'it was too slow');
      answer.on('data', (part: Buffer) => {
        clearTimeout(silence);
        silence = setTimeout(fail, silenceMs, 'it was silent');
        left -= part.length;
        if (left < 0) fail('it sent more than was asked for');
        else
          try {
            take(part);
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
            answer.destroy();
          }
      });
      answer.once('end', () => {
        if (left === 0) resolve();
        else fail('it sent too little');
      });
      answer.once('error', (error) => {
        fail(error.message);
      });
      answer.once('close', () => {
        clearTimeout(silence);
        clearTimeout(tooSlow);
        fail('it closed the connection');
      });
    });
  }

  async #readFrom(peer: string, range: BlobRange, take: Take, signal: AbortSignal): Promise<void> {
    const answer = await this.#ask(peer, range, signal);
    const { statusCode, headers } = answer;
    const expected = `bytes ${range.offset}-${range.offset + range.length - 1}/${range.size}`;
    if (statusCode === 206 && headers['content-range'] === expected) {
      await this.#take(answer, range.length, take);
      return;
    }
    answer.destroy();
    if (statusCode === 404) throw new Absent();
    throw new Error(`it answered ${statusCode ?? 0}`);
  }

  async read(range: BlobRange, take: Take, signal: AbortSignal): Promise<void> {
    const { digest } = range;
    const peers = this.#spec.peers.toSorted((a, b) => (placeOf(a, digest) < placeOf(b, digest) ? -1 : 1));
    let failure: unknown; // of take: not the peer's
    let taken = 0;
    const counted: Take = (part) => {
      taken += part.length;
      try {
        take(part);
      } catch (error) {
        failure = error;
        throw error;
      }
    };
    for (const peer of peers) {
      if (this.#aside.has(peer)) continue;
      const senders = this.#senders.get(digest) ?? new Set();
      this.#senders.set(digest, senders.add(peer));
      try {
        await this.#readFrom(peer, range, counted, signal);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (failure !== undefined) throw failure as Error;
        if (taken === 0) senders.delete(peer);
        if (error instanceof Absent) continue;
        this.#aside.add(peer);
        const why = error instanceof Error ? error.message : String(error);
        if (taken > 0) throw new SourceError('passing', `the peer ${peer} is given up: ${why}`);
      }
    }
    throw new SourceError('absent', `no peer has ${digest}`);
  }
}
