// SPDX-License-Identifier: MIT
/** The parts of the model, and the page that shows its figures. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { constants } from '../../../benchmarks/storm/constants.ts';
import { EventQueue } from '../../../benchmarks/storm/event-queue.ts';
import { figuresOf } from '../../../benchmarks/storm/figures.ts';
import type { StormFile } from '../../../benchmarks/storm/page.ts';
import { pageFile, pageWith, resultFile } from '../../../benchmarks/storm/run.ts';
import { randomNumbers } from '../../../benchmarks/storm/simulate.ts';
import { parentOf } from '../../../benchmarks/storm/trees.ts';
import { projectRoot } from '../../../lib/paths.ts';

describe('the queue', () => {
  it('gives events in the order of their times, then of their addition', () => {
    const random = randomNumbers(5);
    const queue = new EventQueue<number>();
    const times = Array.from({ length: 2000 }, () => Math.floor(random() * 100));
    for (const [index, time] of times.entries()) queue.add(time, index);
    const wanted = times.map((time, index) => ({ time, index })).sort((a, b) => a.time - b.time);
    for (const { time, index } of wanted) expect(queue.next()).toMatchObject({ time, event: index });
    expect(queue.next()).toBeUndefined();
  });

  it('refuses an event without a time', () => {
    expect(() => {
      new EventQueue<string>().add(NaN, 'x');
    }).toThrow('an event needs a time');
  });
});

describe('the trees', () => {
  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [23, 3],
    [1000, 2],
    [100, 8],
  ])('of %i nodes with %i children reach every node from one root', (nodes, fanOut) => {
    for (let chunk = 0; chunk < fanOut; chunk += 1) {
      const parents = Array.from({ length: nodes }, (_, node) => parentOf(node, chunk, { nodes, fanOut }));
      expect(parents.filter((parent) => parent === undefined)).toHaveLength(1);
      for (let node = 0; node < nodes; node += 1) {
        let steps = 0;
        for (let at: number | undefined = node; at !== undefined; at = parents[at]) steps += 1;
        expect(steps).toBeLessThanOrEqual(fanOut === 1 ? nodes : Math.ceil(Math.log2(nodes + 1)) + 1);
      }
    }
  });

  it('give no node more than its share to send', () => {
    const [nodes, fanOut] = [1000, 2];
    const sends = new Array<number>(nodes).fill(0);
    for (let chunk = 0; chunk < fanOut; chunk += 1)
      for (let node = 0; node < nodes; node += 1) {
        const parent = parentOf(node, chunk, { nodes, fanOut });
        if (parent !== undefined) sends[parent] = (sends[parent] ?? 0) + 1;
      }
    // of two chunks: two children, or three where the trees overlap
    expect(Math.max(...sends)).toBeLessThanOrEqual(3);
  });
});

describe('the constants', () => {
  it('have a source, or a reason and a range around the value', () => {
    for (const { field, value, source, range, because } of constants) {
      if (source === undefined) {
        expect([field, because]).not.toEqual([field, undefined]);
        expect([field, range !== undefined && range[0] <= value && value <= range[1]]).toEqual([field, true]);
      } else expect([field, range]).toEqual([field, undefined]);
    }
  });

  it('are what their sources say', () => {
    const of = (name: string): number => constants.find(({ field }) => field === name)?.value ?? NaN;
    const limits = readFileSync(join(projectRoot, 'benchmarks/results/matrix/limits.json'), 'utf8');
    expect(of('loadRate')).toBe((JSON.parse(limits) as { limits: { load: number } }).limits.load);
    const page = readFileSync(join(projectRoot, 'docs/performance.md'), 'utf8');
    expect(Number(/^\| `full` +\| ([\d.]+)/m.exec(page)?.[1])).toBe(of('restoreS'));
    expect(Number(/^\| `full`, prefetched +\| ([\d.]+)/m.exec(page)?.[1])).toBe(of('prefetchedS'));
  });
});

describe('docs/scale.md', () => {
  const result = JSON.parse(readFileSync(resultFile, 'utf8')) as StormFile;

  it('shows the figures of benchmarks/results/storm.json', async () => {
    expect(await pageWith(result)).toBe(readFileSync(pageFile, 'utf8'));
  });

  it('has the figures that the model gives', () => {
    expect(figuresOf([1, 10, 100])).toEqual(result.figures.filter(({ nodes }) => nodes <= 100));
    expect([...new Set(result.figures.map(({ nodes }) => nodes))]).toEqual([1, 10, 100, 1000, 10_000]);
  });

  it('reports the error of the model against three nodes', () => {
    const cases = result.real.runs.flatMap((run) => run.cases);
    expect(cases.filter(({ nodes }) => nodes === 3).map(({ policy }) => policy)).toContain('peer');
    for (const one of cases) {
      expect(one.error).toBeCloseTo(one.predictedS / one.measuredS - 1, 9);
      expect(one.registryBytes).toBe(one.predictedRegistryBytes);
      expect(one.peerBytes).toBe(one.predictedPeerBytes);
    }
    expect(existsSync(resultFile)).toBe(true);
  });
});
