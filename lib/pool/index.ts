// SPDX-License-Identifier: MIT
/**
 * The pool daemon: warm contexts, and images that stay in device memory.
 * @module
 */
export * from './client.ts';
export * from './daemon.ts';
export * from './early-helper.ts';
export * from './metrics.ts';
export type { PoolContext, PoolOperation, PoolWork } from './work.ts';
