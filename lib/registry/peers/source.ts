// SPDX-License-Identifier: MIT
/**
 * Reads blobs from other nodes. None of them is trusted with more than bytes: the caller compares the digest. One that
 * is dead, slow or wrong is asked no more, so what it costs is bounded, and the registry is asked after all of them.
 * @module
 */
import { createHash } from 'node:crypto';
import { SimpleConnection } from '../fetch/simple-connection.ts';
import { SourceError, type BlobRange, type BlobSource } from '../fetch/source.ts';
import { connectTls } from '../fetch/tls.ts';
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
  readonly #connections = new Map<string, SimpleConnection>();
  /** Those that are asked no more. */
  readonly #aside = new Set<string>();
  /** Who has sent bytes of a blob. */
  readonly #senders = new Map<string, Set<string>>();

  constructor(spec: PeersSpec) {
    this.#spec = spec;
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.close();
  }

  /** What has arrived of a blob was not the blob: none of those who sent it is asked again. */
  distrust(digest: string): void {
    for (const peer of this.#senders.get(digest) ?? []) this.#aside.add(peer);
  }

  #connectionTo(peer: string): SimpleConnection {
    const { key, silenceMs = SILENCE_MS } = this.#spec;
    const kept = this.#connections.get(peer);
    if (kept) return kept;
    const made = new SimpleConnection({
      ...{ name: `the peer ${peer}`, host: peer, silenceMs, ready: 'secureConnect' },
      open: (onread) => connectTls({ ...clientTls(key), ...parsePeer(peer), onread }),
    });
    this.#connections.set(peer, made);
    return made;
  }

  /** Hands over the bytes of an answer, as long as they come fast enough. */
  async #readFrom(peer: string, range: BlobRange, take: Take, signal: AbortSignal): Promise<void> {
    const { answerMs = ANSWER_MS, leastRate = LEAST_RATE, graceMs = GRACE_MS } = this.#spec;
    const connection = this.#connectionTo(peer);
    const { offset, length } = range;
    const lines = [`range: bytes=${offset}-${offset + length - 1}`];
    let timer = setTimeout(() => {
      connection.end(`does not answer in ${answerMs} ms`);
    }, answerMs);
    const onHead = (): void => {
      clearTimeout(timer);
      timer = setTimeout(
        () => {
          connection.end('is too slow');
        },
        graceMs + (length / leastRate) * 1000,
      );
    };
    try {
      const reply = await connection.get(blobPathOf(range.digest), lines, range, take, signal, onHead);
      if (reply === 404) throw new Absent();
      if (reply !== 'taken') throw new Error(`the peer ${peer} answers ${reply}`);
    } finally {
      clearTimeout(timer);
    }
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
        if (taken > 0) throw error;
      }
    }
    throw new SourceError('absent', `no peer has ${digest}`);
  }
}
