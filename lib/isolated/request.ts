// SPDX-License-Identifier: MIT
/** What the two sides say to each other: lines of JSON. @module */
import type { TransferProgress } from '../process/index.ts';
import type { SentError } from './errors.ts';

/** First argument of the program that works inside the namespaces. */
export const insideWord = '--inside';

/** Its descriptor for these lines. */
export const TALK = 3;

/** The first line: what to do. */
export interface InsideRequest {
  operation: 'restore' | 'checkpoint';
  /** The library's options, as far as they are data. */
  options: Record<string, unknown>;
  wantsProgress: boolean;
}

/** A later line of the same side. It may also just end. */
export interface InsideAbort {
  abort: string;
}

/** A line of the other side; the last one has a result or an error. */
export interface InsideAnswer {
  progress?: TransferProgress | undefined;
  result?: unknown;
  error?: SentError | undefined;
}

/** Calls `onLine` with each line of a stream. */
export function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let text = '';
  stream.setEncoding('utf8').on('data', (part: string) => {
    const lines = (text + part).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
}
