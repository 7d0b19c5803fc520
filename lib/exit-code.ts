// SPDX-License-Identifier: MIT
/**
 * The exit codes of the command line for errors, defined only here. docs/environment.md has the same list.
 * @module
 */
import { ToolkitError } from './errors.ts';

/** Codes for wrong use or for something missing on this machine: nothing was started. */
const refusals: ReadonlySet<string> = new Set([
  'ERR_USAGE',
  'ERR_ENVIRONMENT',
  'ERR_SETTING',
  'ERR_CONFIG_WRITE',
  'ERR_INSPECT_READ',
  'ERR_CHECKPOINT_NO_PROCESS',
  'ERR_CHECKPOINT_REFUSED',
  'ERR_CHECKPOINT_OWN_TREE',
  'ERR_CHECKPOINT_CONTAINER',
  'ERR_CHECKPOINT_IMAGES_DIR',
  'ERR_RESTORE_IMAGES',
  'ERR_RESTORE_FILES',
  'ERR_RESTORE_PID_TAKEN',
  'ERR_RESTORE_PORT_TAKEN',
  'ERR_RESTORE_REFUSED',
  'ERR_CONTAINER_STATE',
  'ERR_GOLDEN_STATE',
]);

/** 2 for wrong use or something missing on this machine; 1 for a failed operation or a bug in this program. */
export function errorExitCode(error: unknown): 1 | 2 {
  return error instanceof ToolkitError && refusals.has(error.code) ? 2 : 1;
}
