// SPDX-License-Identifier: MIT
import { createIo, type Io } from '../../../lib/output.ts';

export interface Captured {
  io: Io;
  stdout: () => string;
  stderr: () => string;
}

export interface CaptureOptions {
  json?: boolean;
  /** Whether stderr is a terminal. */
  terminal?: boolean;
  /** Its columns. @default 60 */
  columns?: number;
  signal?: AbortSignal;
}

/** An Io that records what is written to it. */
export function captureIo(options: CaptureOptions = {}): Captured {
  const out: string[] = [];
  const err: string[] = [];
  const io = createIo({
    stdout: { write: (text) => out.push(text) },
    stderr: {
      write: (text) => err.push(text),
      ...(options.terminal ? { isTTY: true, columns: options.columns ?? 60 } : {}),
    },
    json: options.json ?? false,
    signal: options.signal ?? new AbortController().signal,
  });
  return { io, stdout: () => out.join(''), stderr: () => err.join('') };
}
