// SPDX-License-Identifier: MIT
/**
 * What is different between two snapshots.
 * @module
 */
import type { ContextSnapshot, GpuContext } from './types.ts';

/** A context that is different. */
export interface ChangedContext {
  /** As it was. */
  previous: GpuContext;
  /** As it is now. */
  current: GpuContext;
}

/** A difference between two snapshots. */
export interface ContextChange {
  /** Everything as it is now. */
  snapshot: ContextSnapshot;
  /** Contexts that were not there before. */
  appeared: GpuContext[];
  /** Contexts that are different. */
  changed: ChangedContext[];
  /** Contexts that are not there any more, as they were. */
  gone: GpuContext[];
  /** Whether the pool's part is different. */
  isPoolChanged: boolean;
}

const keyOf = ({ pid, startTime, deviceUuid, mig }: GpuContext): string =>
  JSON.stringify([pid, startTime, deviceUuid, mig]);

const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** @param previous `undefined`: everything has appeared. @returns `undefined` when nothing is different */
export function compareSnapshots(
  previous: ContextSnapshot | undefined,
  snapshot: ContextSnapshot,
): ContextChange | undefined {
  const before = new Map(previous?.contexts.map((context) => [keyOf(context), context]));
  const appeared: GpuContext[] = [];
  const changed: ChangedContext[] = [];
  for (const current of snapshot.contexts) {
    const key = keyOf(current);
    const known = before.get(key);
    before.delete(key);
    if (!known) appeared.push(current);
    else if (!isSame(known, current)) changed.push({ previous: known, current });
  }
  const gone = [...before.values()];
  const isPoolChanged = !isSame(previous?.pool ?? null, snapshot.pool);
  const isDifferent = [appeared, changed, gone].some((list) => list.length > 0) || isPoolChanged;
  if (previous !== undefined && !isDifferent) return undefined;
  return { snapshot, appeared, changed, gone, isPoolChanged };
}
