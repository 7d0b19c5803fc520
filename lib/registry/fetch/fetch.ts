// SPDX-License-Identifier: MIT
/**
 * Moves blobs into the cache with several threads, each of which has connections of its own: one thread computes SHA-256
 * and copies at about 0.5 GB/s.
 * @module
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { projectRoot } from '../../paths.ts';
import type { WantedBlob } from './blob.ts';
import { BlobError } from './blob.ts';
import type { SourceSpec } from './open.ts';
import type { WorkerInput, WorkerResult } from './worker.ts';

/** More threads do not help where the registry sends from memory, and a registry may limit connections. */
const MOST_THREADS = 12;

/** How blobs are moved. */
export interface FetchOptions {
  /** Directory of the blobs, each of which has the hexadecimal digits of its digest as its name. */
  dir: string;
  /** In the order in which they are asked for each blob. */
  sources: SourceSpec[];
  /** A blob that no source has is left out. @default false */
  mayMiss?: boolean | undefined;
  /** Called with each blob that has come, and the index of its source; blobs begin in their order, and may come in another. */
  onBlob?: ((blob: WantedBlob, source: number) => void) | undefined;
  /** Gets something that tells how many bytes have arrived. */
  onStart?: ((arrivedBytes: () => number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

const workerFile = join(projectRoot, 'dist', 'registry', 'fetch', 'worker.js');

/** Gives each thread the next blob until all have come. */
class Fetch {
  readonly #waiting: WantedBlob[];
  readonly #byDigest: Map<string, WantedBlob>;
  readonly #workers: Worker[];
  readonly #onBlob: FetchOptions['onBlob'];
  readonly #mayMiss: boolean;
  #left: number;
  readonly ended: Promise<void>;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(blobs: readonly WantedBlob[], input: WorkerInput, { onBlob, mayMiss = false }: FetchOptions) {
    this.#waiting = [...blobs];
    this.#byDigest = new Map(blobs.map((blob) => [blob.digest, blob]));
    this.#onBlob = onBlob;
    this.#mayMiss = mayMiss;
    this.#left = blobs.length;
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const threads = Math.min(MOST_THREADS, availableParallelism(), blobs.length);
    this.#workers = Array.from({ length: threads }, () => this.#start(input));
  }

  #start(workerData: WorkerInput): Worker {
    const worker = new Worker(workerFile, { workerData });
    worker.on('message', (result: WorkerResult) => {
      this.#settle(result, worker);
    });
    worker.on('error', this.#reject);
    this.#next(worker);
    return worker;
  }

  #next(worker: Worker): void {
    const blob = this.#waiting.shift();
    if (blob) worker.postMessage(blob);
  }

  #settle({ digest, failure, message, source }: WorkerResult, worker: Worker): void {
    const blob = this.#byDigest.get(digest);
    if (failure !== undefined && (!this.#mayMiss || failure === 'local')) {
      this.#reject(new BlobError(failure, message));
      return;
    }
    try {
      if (blob && failure === undefined) this.#onBlob?.(blob, source);
    } catch (error) {
      this.#reject(error);
      return;
    }
    this.#left -= 1;
    if (this.#left === 0) this.#resolve();
    this.#next(worker);
  }

  stop(reason: unknown): void {
    this.#reject(reason);
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/**
 * Moves blobs that are not in the directory. After a failure or an abort, what has arrived stays, and is not moved again.
 * @throws {@link BlobError} no source has one of them
 */
export async function fetchBlobs(blobs: readonly WantedBlob[], options: FetchOptions): Promise<void> {
  const { dir, sources, onStart, signal } = options;
  signal?.throwIfAborted();
  if (blobs.length === 0) return;
  const counter = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
  const arrived = new BigInt64Array(counter);
  onStart?.(() => Number(Atomics.load(arrived, 0)));
  const fetch = new Fetch(blobs, { sources, dir, counter }, options);
  const stop = (): void => {
    fetch.stop(signal?.reason);
  };
  signal?.addEventListener('abort', stop, { once: true });
  try {
    await fetch.ended;
  } finally {
    signal?.removeEventListener('abort', stop);
    await fetch.close();
  }
}
