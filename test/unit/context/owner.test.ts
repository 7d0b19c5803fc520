// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest';
import { operationOf, ownerOf, type ProcessFacts } from '../../../lib/context/owner.ts';
import type { PoolOperation } from '../../../lib/pool/index.ts';

const facts: ProcessFacts = { pid: 7, comm: 'python3', state: 'running', isGated: false, isStopped: false };
const operation: PoolOperation = {
  kind: 'dump',
  state: 'saving',
  operation: 9216,
  pid: 7,
  imagePid: 7,
  criuPid: 50,
  doneBytes: 1,
  totalBytes: 2,
};
const own = { operation: null, poolPid: null, criuPid: null };
const known = { operation: 9216, poolPid: 9, criuPid: 50 };

describe('the owner of device memory', () => {
  it.each([
    ['running', 'application'],
    ['locked', 'application'],
    ['stopped', 'application'],
    ['failed', 'application'],
    ['checkpointed', 'checkpointed'],
  ] as const)('of a process that is %s, without the pool: %s', (state, kind) => {
    expect(ownerOf({ ...facts, state }, undefined)).toEqual({ ...own, kind });
  });

  it.each([
    ['dump', 'evicting', 'pool'],
    ['dump', 'saving', 'pool'],
    ['dump', 'held', 'held'],
    ['dump', 'failed', 'held'],
    ['dump', 'returning', 'pool'],
    ['restore', 'loading', 'pool'],
    ['restore', 'ready', 'pool'],
    ['restore', 'attaching', 'pool'],
  ] as const)('in a %s that is %s: %s', (kind, state, owner) => {
    const one = operationOf(9, { ...operation, kind, state });
    expect(ownerOf({ ...facts, isGated: true, state: 'checkpointed' }, one)).toEqual({
      ...known,
      kind: owner,
    });
  });

  it.each(['loading', 'ready'] as const)(
    'of a process that is stopped and whose image is %s: standby',
    (state) => {
      const one = operationOf(9, { ...operation, kind: 'restore', state });
      expect(ownerOf({ ...facts, isGated: true, isStopped: true }, one)).toEqual({
        ...known,
        kind: 'standby',
      });
    },
  );

  it('behind a closed gate is the pool, also when nothing is known of the operation', () => {
    expect(ownerOf({ ...facts, isGated: true }, undefined)).toEqual({ ...own, kind: 'pool' });
  });

  it.each(['cuda-poold', 'cuda-pool-once'])('of %s is itself', (comm) => {
    expect(ownerOf({ ...facts, comm }, undefined)).toEqual({ ...own, kind: 'pool', poolPid: 7 });
  });
});
