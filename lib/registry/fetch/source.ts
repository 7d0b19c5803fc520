// SPDX-License-Identifier: MIT
/**
 * Where the bytes of blobs come from. Threads that move blobs open a source of their own, so what describes one is plain
 * data. A source is not trusted: what arrives is compared with the digest.
 * @module
 */

/** Bytes of a blob. */
export interface BlobRange {
  /** `sha256:…` of the whole blob. */
  digest: string;
  /** Bytes of the whole blob. */
  size: number;
  /** First byte. */
  offset: number;
  /** Bytes from there, at least one. */
  length: number;
}

/**
 * Why a source has no bytes. `absent`: it does not have this blob, another source may. `unfit`: it wants what only another
 * way has, such as a token. `refused`: it must not be used. `passing`: a later attempt may succeed.
 */
export type SourceFailure = 'absent' | 'unfit' | 'refused' | 'passing';

/** A source has no bytes, or not all of them. */
export class SourceError extends Error {
  readonly failure: SourceFailure;
  /** Milliseconds that it asks to be left alone. */
  readonly waitMs: number;

  constructor(failure: SourceFailure, message: string, waitMs = 0) {
    super(message);
    this.name = 'SourceError';
    this.failure = failure;
    this.waitMs = waitMs;
  }
}

/** Where the bytes of blobs come from. */
export interface BlobSource {
  /** For messages: `the registry 127.0.0.1:5000`. */
  readonly name: string;
  /**
   * Reads bytes of a blob.
   * @param take gets exactly `length` bytes, in order, in parts of any size; a part is valid until it returns
   * @throws {@link SourceError}; what `take` got before counts as read
   */
  read(range: BlobRange, take: (part: Uint8Array) => void, signal: AbortSignal): Promise<void>;
  /** What it has sent of a blob was not the blob. */
  distrust?(digest: string): void;
  /** Closes connections. */
  close(): void;
}
