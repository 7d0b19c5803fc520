// SPDX-License-Identifier: MIT
/**
 * What the daemon has of its own, and the operations in progress.
 * @module
 */
import { z } from 'zod';

const count = z.int().nonnegative();
const orNull = z.int().positive().nullable();

const operationSchema = z.object({
  kind: z.enum(['dump', 'restore']),
  state: z.enum(['evicting', 'saving', 'held', 'returning', 'loading', 'ready', 'attaching', 'failed']),
  operation: orNull,
  pid: orNull,
  image_pid: orNull,
  criu: orNull,
  done_bytes: count,
  total_bytes: count,
});

/** As the daemon sends it. One of an earlier version sends only the first two. */
export const workSchema = z.object({
  version: z.string(),
  pid: z.int().positive(),
  streams: count.default(0),
  staging_bytes: count.default(0),
  contexts: z.array(z.object({ uuid: z.string(), memory_bytes: count })).default([]),
  operations: z.array(operationSchema).default([]),
});

/** A primary context of the daemon. */
export interface PoolContext {
  /** UUID of its GPU. */
  uuid: string;
  /** Device memory of images and operations. The context itself is not in it. */
  memoryBytes: number;
}

/** The device memory of one process that is moved, or an image that a restore has started to load. */
export interface PoolOperation {
  /** Whether memory goes to files, or comes from them. */
  kind: 'dump' | 'restore';
  /**
   * dump: `evicting` (the process hands its memory over), `saving`, `held` (saved, and kept until criu ends), `returning`
   * (after a dump that failed or left the process running). restore: `loading`, `ready` (until the process runs),
   * `attaching`. Either: `failed`.
   */
  state: 'evicting' | 'saving' | 'held' | 'returning' | 'loading' | 'ready' | 'attaching' | 'failed';
  /** Its number, as in the run directory; `null` until a process asks for the image. */
  operation: number | null;
  /** The process, in the daemon's PID namespace; `null` until it asks for the image. */
  pid: number | null;
  /** The pid in the name of the image; `null` for memory that another pool has taken from the process. */
  imagePid: number | null;
  /** The criu, or its watcher, that sent the first request. */
  criuPid: number | null;
  /** Bytes that are copied; of a dump 0 until it is `saving`. */
  doneBytes: number;
  /** All of its bytes; of a dump 0 until it is `saving`. */
  totalBytes: number;
}

/** What a daemon has of its own, and the operations in progress. */
export interface PoolWork {
  /** Of the daemon. */
  version: string;
  /** Of the daemon. */
  pid: number;
  /** Threads that copy, each with a stream on every GPU it has worked for; 0 if a daemon does not report it. */
  streams: number;
  /** Pinned host memory of their staging buffers. */
  stagingBytes: number;
  /** Its contexts, one for each GPU in use. */
  contexts: PoolContext[];
  /** In no particular order. */
  operations: PoolOperation[];
}

/** Gives names of this library to what the daemon has sent. */
export function workOf(answer: z.infer<typeof workSchema>): PoolWork {
  const { version, pid, streams, staging_bytes, contexts, operations } = answer;
  return {
    version,
    pid,
    streams,
    stagingBytes: staging_bytes,
    contexts: contexts.map(({ uuid, memory_bytes }) => ({ uuid, memoryBytes: memory_bytes })),
    operations: operations.map(({ image_pid, criu, done_bytes, total_bytes, ...rest }) => ({
      ...rest,
      imagePid: image_pid,
      criuPid: criu,
      doneBytes: done_bytes,
      totalBytes: total_bytes,
    })),
  };
}
