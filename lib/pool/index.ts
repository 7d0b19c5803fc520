// SPDX-License-Identifier: MIT
/**
 * The pool daemon: warm contexts, and images that stay in device memory.
 * @module
 */
export {
  controlSocket,
  dropAllImages,
  dropImages,
  markGolden,
  PoolError,
  poolRunDir,
  prefetchImages,
  readPoolStatus,
  readPoolWork,
  type DropOptions,
  type PoolGpu,
  type PoolImage,
  type PoolOptions,
  type PoolStatus,
  type PrefetchOptions,
} from './client.ts';
export * from './daemon.ts';
export * from './early-helper.ts';
export * from './metrics.ts';
export { endNow, endStartedHelper } from './started-helper.ts';
export { receiveImages, type Reception } from './receive.ts';
export type { PoolContext, PoolOperation, PoolWork } from './work.ts';
