// SPDX-License-Identifier: MIT
/** Reads a trace as a viewer does. */
import type { TraceDocument, TraceEvent } from '../../lib/criu/index.ts';

/** A span with the names of its process and track. Milliseconds. */
export interface NamedSpan {
  process: string;
  track: string;
  name: string;
  startMs: number;
  endMs: number;
}

const nameOf = (document: TraceDocument, kind: string, { pid, tid }: TraceEvent): string =>
  String(
    document.traceEvents.find(
      (one) => one.name === kind && one.pid === pid && (kind === 'process_name' || one.tid === tid),
    )?.args?.name,
  );

/** All spans, in order. @throws if two spans of a track overlap without one being inside the other */
export function readSpans(document: TraceDocument): NamedSpan[] {
  const open = new Map<string, TraceEvent[]>();
  return document.traceEvents.flatMap((one) => {
    if (one.ph !== 'X') return [];
    const end = (event: TraceEvent): number => event.ts + (event.dur ?? 0);
    const key = `${one.pid} ${one.tid}`;
    const around = (open.get(key) ?? []).filter((outer) => end(outer) > one.ts);
    const outer = around.at(-1);
    if (outer && end(outer) < end(one)) throw new Error(`${one.name} overlaps ${outer.name}`);
    open.set(key, [...around, one]);
    return [
      {
        process: nameOf(document, 'process_name', one),
        track: nameOf(document, 'thread_name', one),
        name: one.name,
        startMs: one.ts / 1000,
        endMs: end(one) / 1000,
      },
    ];
  });
}
