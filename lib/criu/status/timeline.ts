// SPDX-License-Identifier: MIT
/**
 * When what happened, from the plugin's status file: plugin, watcher and pool write the time of each line, on the
 * monotonic clock of the machine.
 * @module
 */
import * as v from 'valibot';
import { amount, whole } from '../../number-shapes.ts';

/** Something that was done for one process. Milliseconds of the monotonic clock. */
export interface StatusSpan {
  /** The process that it was done for; of `init` and `fini`, criu. */
  pid: number;
  /** Who did it: `hook` (a hook of the plugin), `driver`, `host memory`, `device memory`, `plugin`, `pool`. */
  part: string;
  /** What was done. */
  name: string;
  startMs: number;
  durationMs: number;
}

/** What one thread of the pool did: for each slice of its time, how many milliseconds of it. */
export interface ThreadTimes {
  /** The process whose memory was copied. */
  pid: number;
  /** From 0. */
  number: number;
  startMs: number;
  durationMs: number;
  sliceMs: number;
  /** Read or wrote files, and computed checksums. */
  hostMs: number[];
  /** Waited for the device. */
  deviceMs: number[];
}

/** The times of one run of criu. */
export interface Timeline {
  spans: StatusSpan[];
  threads: ThreadTimes[];
}

const at = amount;
const pid = whole(0);
const times = v.pipe(v.array(amount), v.maxLength(1000));

const lineShapes = {
  span: v.object({
    event: v.literal('span'),
    ...{ pid, part: v.string(), name: v.string(), start: amount, end: amount },
  }),
  step: v.object({ event: v.literal('step'), at, pid, step: v.string(), ms: amount }),
  remap: v.object({
    event: v.literal('remap'),
    ...{ at, pid, copy_ms: amount, map_ms: amount, copied: v.optional(amount), end: v.optional(amount) },
  }),
  thread: v.object({
    event: v.literal('thread'),
    ...{ pid, number: whole(0), start: amount, ms: amount },
    slice_ms: v.pipe(amount, v.minValue(0.001)),
    ...{ host_ms: times, device_ms: times },
  }),
};
const timedLine = v.variant('event', [lineShapes.span, lineShapes.step, lineShapes.remap, lineShapes.thread]);
type TimedLine = v.InferOutput<typeof timedLine>;

function spansOf(line: TimedLine): StatusSpan[] {
  switch (line.event) {
    case 'span': {
      const { part, name, start, end } = line;
      return [{ pid: line.pid, part, name, startMs: start, durationMs: end - start }];
    }
    case 'step':
      return [
        { pid: line.pid, part: 'driver', name: line.step, startMs: line.at - line.ms, durationMs: line.ms },
      ];
    case 'remap': {
      const { copy_ms: copyMs, map_ms: mapMs, end = line.at, copied = end - mapMs } = line;
      const memory = { pid: line.pid, part: 'host memory' };
      const copy = { ...memory, name: 'copy', startMs: copied - copyMs, durationMs: copyMs };
      return mapMs === 0
        ? [copy]
        : [copy, { ...memory, name: 'empty', startMs: end - mapMs, durationMs: mapMs }];
    }
    case 'thread':
      return [];
  }
}

const threadOf = (line: TimedLine): ThreadTimes[] =>
  line.event === 'thread'
    ? [
        {
          ...{ pid: line.pid, number: line.number, startMs: line.start, durationMs: line.ms },
          ...{ sliceMs: line.slice_ms, hostMs: line.host_ms, deviceMs: line.device_ms },
        },
      ]
    : [];

/** @param values of the lines of a status file; those without a time, which are of an earlier version, are passed over */
export function readTimeline(values: readonly unknown[]): Timeline {
  const lines = values.flatMap((value) => {
    const parsed = v.safeParse(timedLine, value);
    return parsed.success ? [parsed.output] : [];
  });
  return { spans: lines.flatMap(spansOf), threads: lines.flatMap(threadOf) };
}
