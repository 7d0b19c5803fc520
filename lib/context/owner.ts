// SPDX-License-Identifier: MIT
/**
 * Whose device memory is, from what the driver, the interceptor, the pool and the status files say.
 * @module
 */
import type { PoolOperation } from '../pool/index.ts';
import type { GpuContext, MemoryOwner, OwnerKind } from './types.ts';

/** Names of the daemon and of the helper of one run of criu. */
const poolComms: readonly string[] = ['cuda-poold', 'cuda-pool-once'];

export const isPool = (comm: string): boolean => poolComms.includes(comm);

/** An operation on a process, from the daemon or a status file. */
export interface KnownOperation {
  kind: PoolOperation['kind'];
  /** It is saved, or only waits for the process to run. */
  isAtRest: boolean;
  operation: number | null;
  poolPid: number | null;
  criuPid: number | null;
}

export function operationOf(
  poolPid: number,
  { kind, state, operation, criuPid }: PoolOperation,
): KnownOperation {
  const isAtRest = state === 'held' || state === 'ready' || state === 'failed';
  return { kind, isAtRest, operation, poolPid, criuPid };
}

/** What is known of a process. */
export interface ProcessFacts {
  pid: number;
  comm: string;
  state: GpuContext['state'];
  isGated: boolean;
  /** Stopped by a signal, as a standby is; not only held by a tracer. */
  isStopped: boolean;
}

const nobody = { operation: null, poolPid: null, criuPid: null };

function kindOf({ isStopped }: ProcessFacts, { kind, isAtRest }: KnownOperation): OwnerKind {
  if (kind === 'restore') return isStopped ? 'standby' : 'pool';
  return isAtRest ? 'held' : 'pool';
}

/** @param operation the one that is in progress for the process, where one is known */
export function ownerOf(facts: ProcessFacts, operation: KnownOperation | undefined): MemoryOwner {
  if (isPool(facts.comm)) return { ...nobody, kind: 'pool', poolPid: facts.pid };
  if (operation) {
    const { operation: number, poolPid, criuPid } = operation;
    return { kind: kindOf(facts, operation), operation: number, poolPid, criuPid };
  }
  // a closed gate without an operation: of another run directory, or a pool that has died
  if (facts.isGated) return { ...nobody, kind: 'pool' };
  return { ...nobody, kind: facts.state === 'checkpointed' ? 'checkpointed' : 'application' };
}
