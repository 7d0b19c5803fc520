// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { dumpPhases, restorePhases, type OpStatus } from '../../../lib/criu/index.ts';

const status: OpStatus = {
  version: '0.1.0',
  variant: 'stock',
  plugin: undefined,
  origin: undefined,
  processes: [],
  failure: undefined,
  isUndone: false,
  hasLateFailed: false,
  memory: [],
  fallbacks: [],
  stage: 'dump',
  steps: [
    { pid: 1, step: 'lock', result: 0, name: 'CUDA_SUCCESS', ms: 2 },
    { pid: 2, step: 'lock', result: 0, name: 'CUDA_SUCCESS', ms: 3 },
    { pid: 1, step: 'checkpoint', result: 0, name: 'CUDA_SUCCESS', ms: 100 },
  ],
  tasks: [],
  watcherPids: [],
  poolPid: undefined,
  attaching: [],
  inPool: [],
  hostMemoryMs: 20,
  end: { ret: 0, driverMs: 105, hookMs: 126.5 },
  timeline: { spans: [], threads: [] },
};
const dumpStats = {
  freezingMs: 6,
  frozenMs: 150,
  memdumpMs: 40,
  memwriteMs: 25,
  pagesWritten: 1,
  pagesBytes: 4096,
};

describe('phases', () => {
  it('of a dump add up to its duration', () => {
    expect(dumpPhases({ durationMs: 200, status }, dumpStats)).toEqual([
      { part: 'driver', name: 'lock', durationMs: 5 },
      { part: 'driver', name: 'checkpoint', durationMs: 100 },
      { part: 'plugin', name: 'host memory', durationMs: 20 },
      { part: 'plugin', name: 'hooks', durationMs: 1.5 },
      { part: 'criu', name: 'read memory', durationMs: 15 },
      { part: 'criu', name: 'write images', durationMs: 25 },
      { part: 'criu', name: 'rest', durationMs: 33.5 },
    ]);
  });

  it('of a restore separate forking from restoring', () => {
    const stats = { forkingMs: 4, restoreMs: 30, pagesRestored: 9 };
    expect(restorePhases({ durationMs: 50, status: undefined }, stats)).toEqual([
      { part: 'criu', name: 'fork', durationMs: 4 },
      { part: 'criu', name: 'restore', durationMs: 26 },
      { part: 'criu', name: 'rest', durationMs: 20 },
    ]);
  });

  it('are never negative, and only one if nothing is known', () => {
    expect(dumpPhases({ durationMs: 120, status }, dumpStats).at(-1)?.durationMs).toBe(0);
    expect(dumpPhases({ durationMs: 7, status: undefined }, undefined)).toEqual([
      { part: 'criu', name: 'rest', durationMs: 7 },
    ]);
  });

  const span = (pid: number, part: string, name: string, startMs: number, durationMs: number) => ({
    ...{ pid, part, name, startMs, durationMs },
  });

  it("tell the driver's own time from the copies into what it has mapped", () => {
    const spans = [
      span(1, 'driver', 'lock', 0, 5),
      span(1, 'driver', 'checkpoint', 5, 100),
      span(1, 'pool', 'custom storage', 25, 60),
      span(2, 'pool', 'custom storage', 45, 50),
    ];
    expect(
      dumpPhases({ durationMs: 130, status: { ...status, timeline: { spans, threads: [] } } }, undefined),
    ).toEqual([
      { part: 'driver', name: 'lock', durationMs: 5 },
      { part: 'driver', name: 'checkpoint', durationMs: 30 },
      { part: 'plugin', name: 'custom storage', durationMs: 70 },
      { part: 'plugin', name: 'hooks', durationMs: 21.5 },
      { part: 'criu', name: 'rest', durationMs: 3.5 },
    ]);
  });

  it('of processes that are served at the same time have the time that passed', () => {
    const timeline = {
      spans: [
        span(1, 'host memory', 'copy', 0, 30),
        span(2, 'host memory', 'copy', 25, 20),
        span(1, 'driver', 'restore', 30, 100),
        span(2, 'driver', 'restore', 45, 60),
        span(2, 'driver', 'unlock', 105, 10),
        span(1, 'driver', 'unlock', 130, 5),
      ],
      threads: [],
    };
    const step = (pid: number, name: 'restore' | 'unlock') => ({
      ...{ pid, step: name, result: 0, name: 'CUDA_SUCCESS', ms: 1 },
    });
    const steps = [step(2, 'restore'), step(2, 'unlock'), step(1, 'restore'), step(1, 'unlock')];
    const end = { ret: 0, driverMs: 175, hookMs: 140 };
    const both: OpStatus = { ...status, stage: 'restore', steps, timeline, end, hostMemoryMs: 50 };
    expect(restorePhases({ durationMs: 200, status: both }, undefined)).toEqual([
      { part: 'driver', name: 'restore', durationMs: 100 },
      { part: 'driver', name: 'unlock', durationMs: 5 },
      { part: 'plugin', name: 'host memory', durationMs: 30 },
      { part: 'plugin', name: 'hooks', durationMs: 5 },
      { part: 'criu', name: 'rest', durationMs: 60 },
    ]);
  });
});
