// SPDX-License-Identifier: MIT
/** The model of a restore storm against what can be computed by hand, and the laws that it must keep. */
import { describe, expect, it } from 'vitest';
import { stormOf } from '../../../benchmarks/storm/constants.ts';
import { limitOf, policies, simulate, type Storm } from '../../../benchmarks/storm/simulate.ts';

/** 8 GB in 80 chunks, every rate 10 GB/s, no delays: numbers for mental arithmetic. */
const plain: Storm = {
  ...{ nodes: 1, policy: 'registry', seed: 1 },
  ...{ imageGB: 8, chunkGB: 0.1, window: 1000, fanOut: 2 },
  ...{ registryRate: 10, nicRate: 10, verifyRate: 10, loadRate: 10 },
  ...{ registryLatencyS: 0, peerLatencyS: 0, restoreS: 0, prefetchedS: 0 },
  ...{ spreadS: 0, leadS: 0, cachedShare: 0 },
};

const last = (storm: Storm): number => simulate(storm).durations.at(-1) ?? NaN;

describe('one node', () => {
  it('takes as long as its slowest part, and one chunk in each other part', () => {
    for (const slow of ['registryRate', 'nicRate', 'verifyRate', 'loadRate'] as const)
      expect(last({ ...plain, [slow]: 2 })).toBeCloseTo(8 / 2 + 3 * 0.01, 9);
  });

  it('adds latency once, and the restore', () => {
    expect(last({ ...plain, registryLatencyS: 0.5, restoreS: 0.25 })).toBeCloseTo(0.8 + 0.03 + 0.75, 9);
  });

  it('waits for each chunk when its window has room for one', () => {
    expect(last({ ...plain, window: 1, registryLatencyS: 0.01 })).toBeCloseTo(80 * (4 * 0.01 + 0.01), 9);
  });

  it('has a last chunk that is smaller', () => {
    expect(last({ ...plain, imageGB: 8.05 })).toBeCloseTo(0.805 + 3 * 0.01, 9);
    expect(simulate({ ...plain, imageGB: 8.05 }).loadedGB).toBeCloseTo(8.05, 9);
  });

  it('needs neither registry nor network when it has the image', () => {
    const result = simulate({ ...plain, cachedShare: 1, loadRate: 4 });
    expect(result.durations).toEqual([2]);
    expect(result.registryGB).toBe(0);
    expect(limitOf(result)).toBe('load');
  });
});

describe('N nodes', () => {
  it('share the link of the registry', () => {
    const result = simulate({ ...plain, nodes: 50, nicRate: 100, window: 4 });
    expect(result.durations.at(-1)).toBeCloseTo((50 * 8) / 10 + 0.001 + 0.02, 9);
    expect(limitOf(result)).toBe('registry');
    // nobody is served first: the first node ends when at most one window of each of the others is left
    expect(result.durations[0]).toBeGreaterThan((50 * (8 - 0.4)) / 10);
  });

  it('with peers that cost nothing take as long as one', () => {
    const free = { ...plain, nodes: 200, policy: 'peer', nicRate: 1e9, verifyRate: 1e9 } as const;
    expect(last(free)).toBeCloseTo(last({ ...free, nodes: 1 }), 6);
  });

  it('with peers take one step of a tree more each time their number doubles', () => {
    const storm = { ...plain, policy: 'peer', window: 32 } as const;
    const times = [16, 32, 64, 128, 256, 512].map((nodes) => last({ ...storm, nodes }));
    const steps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    // a step: two chunks sent, one received, one verified
    for (const step of steps) expect(step).toBeCloseTo(0.04, 9);
  });

  it('in a chain wait for all nodes before them', () => {
    const chain = { ...plain, policy: 'peer', fanOut: 1, nodes: 10, peerLatencyS: 0.1 } as const;
    expect(last(chain)).toBeCloseTo(0.8 + 0.03 + 9 * (0.01 + 0.1 + 0.02), 9);
  });

  it('that prefetch early wait for nothing but their restore', () => {
    const storm = {
      ...plain,
      nodes: 20,
      policy: 'prefetch',
      leadS: 100,
      prefetchedS: 0.2,
      restoreS: 9,
    } as const;
    expect(simulate(storm).durations).toEqual(new Array<number>(20).fill(0.2));
    expect(last({ ...storm, leadS: 0.5 })).toBeCloseTo(
      last({ ...storm, policy: 'peer', restoreS: 0 }) - 0.5 + 0.2,
      9,
    );
  });
});

describe('every storm', () => {
  const storms = policies.flatMap((policy) =>
    [0, 0.3, 1].flatMap((cachedShare) =>
      [1, 2, 3, 5].map((fanOut) => ({ policy, cachedShare, fanOut, nodes: 23, seed: 7 })),
    ),
  );

  it.each(storms)('keeps its bytes: $policy, $cachedShare cached, fan-out $fanOut', (own) => {
    const storm = stormOf(own);
    const { registryGB, peerGB, loadedGB, durations } = simulate(storm);
    const all = storm.nodes * storm.imageGB;
    expect(loadedGB).toBeCloseTo(all, 6);
    expect(durations).toHaveLength(storm.nodes);
    if (own.cachedShare === 0) expect(registryGB + peerGB).toBeCloseTo(all, 6);
    if (own.cachedShare === 1) expect(registryGB + peerGB).toBe(0);
    const fromRegistry = own.policy === 'registry' ? all : storm.imageGB;
    if (own.cachedShare === 0) expect(registryGB).toBeCloseTo(fromRegistry, 6);
    else expect(registryGB).toBeLessThanOrEqual(fromRegistry + 1e-6);
  });

  it('is the same for the same seed, and another one for another', () => {
    for (const policy of policies) {
      const storm = stormOf({ policy, nodes: 40, cachedShare: 0.2, seed: 3 });
      expect(simulate(storm)).toEqual(simulate(storm));
    }
    const durations = [3, 4].map((seed) => simulate(stormOf({ policy: 'peer', nodes: 40, seed })).durations);
    expect(durations[0]).not.toEqual(durations[1]);
  });

  it('refuses numbers that mean nothing', () => {
    for (const wrong of [
      { nicRate: 0 },
      { chunkGB: NaN },
      { nodes: 1.5 },
      { window: 0 },
      { leadS: -1 },
      { spreadS: Infinity },
      { cachedShare: 2 },
    ]) {
      const [field = ''] = Object.keys(wrong);
      expect(() => simulate({ ...plain, ...wrong })).toThrow(new RegExp(`^${field} must be `));
    }
  });
});
