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
  servePoolMetrics,
  startPool,
  stopPool,
  type DropOptions,
  type MetricsAddress,
  type PoolGpu,
  type PoolImage,
  type PoolOptions,
  type PoolStatus,
  type PrefetchOptions,
  type StartPoolOptions,
  type StopPoolOptions,
} from '../pool/index.ts';
