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
});
