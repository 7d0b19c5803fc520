// SPDX-License-Identifier: MIT
/**
 * The phases of a podman command.
 * @module
 */
import { z } from 'zod';
import type { Phase } from '../criu/index.ts';
import { describeError } from '../errors.ts';
import { ContainerError } from './error.ts';

/** A part of the time that podman's command took. */
export interface ContainerPhase {
  /** Who spent the time. */
  part: Phase['part'] | 'podman';
  /** What was done, as `read memory`. */
  name: string;
  /** Milliseconds. */
  durationMs: number;
}

const statistics = z.object({
  container_statistics: z
    .array(
      z.object({
        runtime_checkpoint_duration: z.number().optional(),
        runtime_restore_duration: z.number().optional(),
      }),
    )
    .min(1),
});

/** The time of the runtime, including criu, from the output of `--print-stats`. Microseconds. */
export function runtimeMicroseconds(stdout: string, what: 'checkpoint' | 'restore'): number {
  try {
    const [one] = statistics.parse(JSON.parse(stdout)).container_statistics;
    return (what === 'checkpoint' ? one?.runtime_checkpoint_duration : one?.runtime_restore_duration) ?? 0;
  } catch (error) {
    throw new ContainerError(
      'ERR_CONTAINER',
      `podman's statistics have an unknown format: ${describeError(error)}`,
    );
  }
}

/** The phases of the runtime and, as the last one, podman's own time, so that they add up to the total. */
export function withPodman(phases: readonly Phase[], durationMs: number): ContainerPhase[] {
  const sum = phases.reduce((all, phase) => all + phase.durationMs, 0);
  return [...phases, { part: 'podman', name: 'other work', durationMs: Math.max(0, durationMs - sum) }];
}
