// SPDX-License-Identifier: MIT
/**
 * How the time of a dump or a restore was spent. The phases of one run add up to its duration: what the driver, the
 * plugin and CRIU's statistics do not account for is CRIU's "rest".
 * @module
 */
import type { OpStatus } from './status/op-status.ts';
import type { DumpStats, RestoreStats } from './stats.ts';
import type { StatusSpan } from './status/timeline.ts';

/** One phase of a dump or a restore. */
export interface Phase {
  /** What spent the time. */
  part: 'criu' | 'driver' | 'plugin';
  /** What was done, such as `read memory`. */
  name: string;
  /** Milliseconds. */
  durationMs: number;
}

interface Whole {
  durationMs: number;
  status: OpStatus | undefined;
}

const total = (phases: readonly Phase[]): number => phases.reduce((sum, phase) => sum + phase.durationMs, 0);

interface Interval {
  startMs: number;
  endMs: number;
}

const lengthOf = (intervals: readonly Interval[]): number =>
  intervals.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);

/** The times in at least one of the intervals, in order and apart. */
function unionOf(intervals: readonly Interval[]): Interval[] {
  const union: Interval[] = [];
  for (const { startMs, endMs } of [...intervals].sort((a, b) => a.startMs - b.startMs)) {
    const last = union.at(-1);
    if (last && startMs <= last.endMs) last.endMs = Math.max(last.endMs, endMs);
    else union.push({ startMs, endMs });
  }
  return union;
}

/** Several processes may be served at the same time: a phase has the time in which none before it in the list was active. */
class Elapsed {
  #seen: Interval[] = [];

  /** How much longer it took with these. */
  add(spans: readonly StatusSpan[]): number {
    const before = lengthOf(this.#seen);
    const added = spans.map(({ startMs, durationMs }) => ({ startMs, endMs: startMs + durationMs }));
    this.#seen = unionOf([...this.#seen, ...added]);
    return lengthOf(this.#seen) - before;
  }
}

/**
 * The driver's steps in the order in which they first occurred, then the plugin's own work, all processes together. With
 * custom storage the pool copies within a step of the driver; that time is the plugin's.
 */
function devicePhases(status: OpStatus | undefined): Phase[] {
  if (!status) return [];
  const { steps, timeline, hostMemoryMs: hostMs, end } = status;
  // an earlier version has written no times, and served one process after the other
  const hasTimes = timeline.spans.length > 0;
  const elapsed = new Elapsed();
  const spans = (part: string, name?: string): StatusSpan[] =>
    timeline.spans.filter((one) => one.part === part && (name === undefined || one.name === name));
  const sumOf = (name: string): number =>
    steps.reduce((sum, { step, ms }) => sum + (step === name ? ms : 0), 0);
  const storageMs = elapsed.add(spans('pool', 'custom storage'));
  const driver = [...new Set(steps.map(({ step }) => step))].map((name): Phase => ({
    part: 'driver',
    name,
    durationMs: hasTimes ? elapsed.add(spans('driver', name)) : sumOf(name),
  }));
  const hostMemoryMs = hasTimes ? elapsed.add(spans('host memory')) : hostMs;
  const plugin = (
    [
      ['custom storage', storageMs],
      ['host memory', hostMemoryMs],
    ] as const
  ).flatMap(([name, durationMs]): Phase[] => (durationMs > 0 ? [{ part: 'plugin', name, durationMs }] : []));
  const known = [...driver, ...plugin];
  const hooksMs = Math.max(0, (end?.hookMs ?? 0) - total(known));
  return [...known, { part: 'plugin', name: 'hooks', durationMs: hooksMs }];
}

/**
 * Three programs measured with their own clocks, so the phases may add up to more than the whole: "rest" is never below
 * zero.
 */
function withRest(phases: readonly Phase[], durationMs: number): Phase[] {
  return [...phases, { part: 'criu', name: 'rest', durationMs: Math.max(0, durationMs - total(phases)) }];
}

export function dumpPhases({ durationMs, status }: Whole, stats: DumpStats | undefined): Phase[] {
  const memory: Phase[] = stats
    ? [
        { part: 'criu', name: 'read memory', durationMs: Math.max(0, stats.memdumpMs - stats.memwriteMs) },
        { part: 'criu', name: 'write images', durationMs: stats.memwriteMs },
      ]
    : [];
  return withRest([...devicePhases(status), ...memory], durationMs);
}

export function restorePhases({ durationMs, status }: Whole, stats: RestoreStats | undefined): Phase[] {
  const criu: Phase[] = stats
    ? [
        { part: 'criu', name: 'fork', durationMs: Math.min(stats.forkingMs, stats.restoreMs) },
        { part: 'criu', name: 'restore', durationMs: Math.max(0, stats.restoreMs - stats.forkingMs) },
      ]
    : [];
  return withRest([...criu, ...devicePhases(status)], durationMs);
}
