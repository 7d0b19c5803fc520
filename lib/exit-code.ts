// SPDX-License-Identifier: MIT
/**
 * The exit code of the command line for an error: the only place that knows it. docs/environment.md has the same list.
 * @module
 */
import { ToolkitError } from './errors.ts';

/** Codes that mean wrong use, or something that this machine lacks: nothing was begun. */
const refusals: ReadonlySet<string> = new Set([
  'ERR_USAGE',
  'ERR_ENVIRONMENT',
  'ERR_SETTING',
  'ERR_CONFIG_WRITE',
  'ERR_INSPECT_READ',
  'ERR_CHECKPOINT_NO_PROCESS',
  'ERR_CHECKPOINT_OWN_TREE',
  'ERR_CHECKPOINT_IMAGES_DIR',
  'ERR_RESTORE_IMAGES',
  'ERR_RESTORE_PID_TAKEN',
  'ERR_CONTAINER_STATE',
  'ERR_GOLDEN_STATE',
]);

/** 2 for wrong use or a lacking machine, 1 for an operation that failed and for mistakes of this program. */
export function errorExitCode(error: unknown): 1 | 2 {
  return error instanceof ToolkitError && refusals.has(error.code) ? 2 : 1;
}
