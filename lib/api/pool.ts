// SPDX-License-Identifier: MIT
/**
 * The pool daemon: warm contexts, images in device memory, and its metrics.
 * @module pool
 */
export { describeError, EnvironmentError, ToolkitError, UsageError } from '../errors.ts';
export {
  dropAllImages,
  dropImages,
  formatPoolMetrics,
  markGolden,
  PoolError,
  prefetchImages,
  readPoolStatus,
  receiveImages,
  servePoolMetrics,
  startPool,
  stopPool,
  type DropOptions,
  type MetricsAddress,
  type PoolContext,
  type PoolGpu,
  type PoolImage,
  type PoolOperation,
  type PoolOptions,
  type PoolStatus,
  type PoolWork,
  type PrefetchOptions,
  type Reception,
  type StartPoolOptions,
  type StopPoolOptions,
} from '../pool/index.ts';
