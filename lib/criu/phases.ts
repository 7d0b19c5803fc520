// SPDX-License-Identifier: MIT
/**
 * How the time of a dump or a restore was spent. The phases of one run add up to its duration: what the driver, the
 * plugin and CRIU's statistics do not account for is CRIU's "rest".
 * @module
 */
import type { OpStatus } from './status/op-status.ts';
import type { DumpStats, RestoreStats } from './stats.ts';

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

/**
 * The driver's steps summed over all processes, in the order in which they first occurred, then the plugin's own work.
 */
function devicePhases(status: OpStatus | undefined): Phase[] {
  if (!status) return [];
  const steps = new Map<string, number>();
  for (const { step, ms } of status.steps) steps.set(step, (steps.get(step) ?? 0) + ms);
  const driver = [...steps].map(([name, durationMs]): Phase => ({ part: 'driver', name, durationMs }));
  const { hostMemoryMs } = status;
  const hooks =
    status.end === undefined ? 0 : Math.max(0, status.end.hookMs - status.end.driverMs - hostMemoryMs);
  const host: Phase[] =
    hostMemoryMs > 0 ? [{ part: 'plugin', name: 'host memory', durationMs: hostMemoryMs }] : [];
  return [...driver, ...host, { part: 'plugin', name: 'hooks', durationMs: hooks }];
}

const total = (phases: readonly Phase[]): number => phases.reduce((sum, phase) => sum + phase.durationMs, 0);

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
