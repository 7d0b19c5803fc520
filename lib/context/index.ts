// SPDX-License-Identifier: MIT
/**
 * What processes have on GPUs, and who has their memory at present.
 * @module
 */
export { compareSnapshots, type ChangedContext, type ContextChange } from './compare.ts';
export type { Container } from '../process/index.ts';
export { listContexts, type ContextOptions } from './list.ts';
export { measurePool, OverheadMeter } from './pool-reader.ts';
export { ContextReader, type ContextSource } from './reader.ts';
export type {
  ContextSnapshot,
  GpuContext,
  InterceptorState,
  MemoryOwner,
  MigInstance,
  OwnerKind,
  PoolContextUse,
  PoolUse,
} from './types.ts';
export { ContextWatcher, watchContexts, type ContextEvents, type ContextWatchOptions } from './watch.ts';
