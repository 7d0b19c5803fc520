// SPDX-License-Identifier: MIT
/**
 * Trace events as Chrome writes them and Perfetto reads them: spans on tracks, a track being a thread of a process.
 * @module
 */

/** A span, a counter, or the name of a process or track. Times are microseconds. */
export interface TraceEvent {
  /** `X`: a span, `C`: a counter, `M`: a name. */
  ph: 'X' | 'C' | 'M';
  name: string;
  cat?: string;
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  args?: Record<string, string | number>;
}

/** The file. */
export interface TraceDocument {
  traceEvents: TraceEvent[];
  displayTimeUnit: 'ms';
  /** The clock of the times, and its time at 0, in milliseconds. */
  otherData: { clock: 'CLOCK_MONOTONIC'; originMs: number };
}

/** A place for spans that do not overlap, unless one is inside the other. */
export interface Track {
  pid: number;
  /** Tracks with the same name are one. */
  name: string;
}

const toMicroseconds = (ms: number): number => Math.round(ms * 1000);

/** Collects events in times of the monotonic clock. */
export class TraceEvents {
  readonly #originMs: number;
  readonly #events: TraceEvent[] = [];
  readonly #tracks = new Map<string, number>();
  readonly #processes = new Map<number, string>();

  /** @param originMs what is 0 in the file */
  constructor(originMs: number) {
    this.#originMs = originMs;
  }

  /** Names a process; the first name counts. They are shown in the order in which they were named. */
  process(pid: number, name: string): void {
    if (!this.#processes.has(pid)) this.#processes.set(pid, name);
  }

  span(track: Track, name: string, startMs: number, durationMs: number): void {
    const ts = toMicroseconds(startMs - this.#originMs);
    const dur = toMicroseconds(startMs + durationMs - this.#originMs) - ts;
    this.#events.push({ ph: 'X', name, cat: track.name, ...this.#place(track), ts, dur });
  }

  /** Values of a counter from a time on. */
  counter(pid: number, name: string, atMs: number, values: Record<string, number>): void {
    this.#events.push({
      ...{ ph: 'C', name, pid, tid: 0 },
      ts: toMicroseconds(atMs - this.#originMs),
      args: values,
    });
  }

  document(): TraceDocument {
    const names = [...this.#processes].flatMap(([pid, name], index): TraceEvent[] => [
      { ph: 'M', name: 'process_name', pid, tid: 0, ts: 0, args: { name } },
      { ph: 'M', name: 'process_sort_index', pid, tid: 0, ts: 0, args: { sort_index: index } },
    ]);
    return {
      traceEvents: [...names, ...this.#events.sort((a, b) => a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0))],
      displayTimeUnit: 'ms',
      otherData: { clock: 'CLOCK_MONOTONIC', originMs: this.#originMs },
    };
  }

  #place({ pid, name }: Track): { pid: number; tid: number } {
    const key = `${pid} ${name}`;
    let tid = this.#tracks.get(key);
    if (tid === undefined) {
      tid = this.#tracks.size + 1;
      this.#tracks.set(key, tid);
      const place = { pid, tid, ts: 0 };
      this.#events.push({ ph: 'M', name: 'thread_name', ...place, args: { name } });
      this.#events.push({ ph: 'M', name: 'thread_sort_index', ...place, args: { sort_index: tid } });
    }
    return { pid, tid };
  }
}
