// SPDX-License-Identifier: MIT
/**
 * A thread that moves blobs into the cache, one after the other. It loads only what it needs: there are many of them.
 * @module
 */
import { parentPort, workerData } from 'node:worker_threads';
import { BlobError, fetchBlob, type BlobFailure, type WantedBlob } from './blob.ts';
import { openSource, type SourceSpec } from './open.ts';

/** What a thread is started with. */
export interface WorkerInput {
  sources: SourceSpec[];
  /** Directory of the blobs. */
  dir: string;
  /** A `BigInt64Array` with the bytes that have arrived, of all threads. */
  counter: SharedArrayBuffer;
}

/** What became of a blob. */
export interface WorkerResult {
  digest: string;
  /** `undefined`: it has come. */
  failure: BlobFailure | undefined;
  /** The index of the source that had it. */
  source: number;
  message: string;
}

const { sources: specs, dir, counter } = workerData as WorkerInput;
const arrived = new BigInt64Array(counter);
const sources = specs.map(openSource);
const { signal } = new AbortController(); // the thread is ended instead
const onBytes = (bytes: number): void => void Atomics.add(arrived, 0, BigInt(bytes));

async function move(blob: WantedBlob): Promise<WorkerResult> {
  const { digest } = blob;
  try {
    const source = await fetchBlob(blob, dir, sources, { onBytes, signal });
    return { digest, failure: undefined, source, message: '' };
  } catch (error) {
    const failure = error instanceof BlobError ? error.failure : 'local';
    return { digest, failure, source: -1, message: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', (blob: WantedBlob) => {
  void move(blob).then((result) => parentPort?.postMessage(result));
});
