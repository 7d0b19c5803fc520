// SPDX-License-Identifier: MIT
/** What docs/scale.md says of the model: its times by number of nodes and policy, and how far they move with each assumption. */
import { constants, stormOf } from './constants.ts';
import { limitOf, policies, simulate, type Policy, type Stage, type Storm } from './simulate.ts';

/** Numbers of nodes that are simulated. */
export const sizes = [1, 10, 100, 1000, 10_000] as const;

/** Times of one storm, in seconds from the restore command. */
export interface Figure {
  nodes: number;
  policy: Policy;
  medianS: number;
  lastS: number;
  /** What the registry sends, GB. */
  registryGB: number;
  /** The part that worked longest; `restore` where every image was in device memory in time. */
  limit: Stage | 'restore';
}

/** Seconds until the last of 1000 nodes runs, with the lowest and the highest value of one assumption. */
export interface Sensitivity {
  field: keyof Storm;
  range: readonly [low: number, high: number];
  lastS: Record<Policy, readonly [low: number, high: number]>;
}

export function figureOf(storm: Storm): Figure {
  const { nodes, policy, prefetchedS } = storm;
  const result = simulate(storm);
  const lastS = result.durations.at(-1) ?? 0;
  return {
    ...{ nodes, policy, lastS },
    medianS: result.durations[Math.floor(nodes / 2)] ?? 0,
    registryGB: result.registryGB,
    limit: policy === 'prefetch' && lastS <= prefetchedS ? 'restore' : limitOf(result),
  };
}

export function figuresOf(nodes: readonly number[] = sizes): Figure[] {
  return nodes.flatMap((count) => policies.map((policy) => figureOf(stormOf({ nodes: count, policy }))));
}

/** One assumption after the other, the others as they are. */
export function sensitivities(nodes = 1000): Sensitivity[] {
  return constants.flatMap(({ field, range }) => {
    if (range === undefined) return [];
    const lastOf = (policy: Policy, value: number): number =>
      figureOf(stormOf({ nodes, policy, [field]: value })).lastS;
    const lastS = Object.fromEntries(
      policies.map((policy) => [policy, [lastOf(policy, range[0]), lastOf(policy, range[1])]]),
    ) as unknown as Sensitivity['lastS'];
    return [{ field, range, lastS }];
  });
}
