// SPDX-License-Identifier: MIT
/**
 * The only file that edits LD_PRELOAD.
 * @module
 */
import { basename } from 'node:path';
import { interceptorFileNames, type Environment } from '../paths.ts';
import { checkPath } from '../check.ts';

/** Variables to add to the environment of an application. */
export type PreloadEnvironment = Record<string, string>;

/** Why a library cannot be preloaded from where it is: one sentence without a full stop; `undefined` if it can. */
export const preloadProblem = (library: string): string | undefined =>
  /[ :]/.test(library)
    ? `LD_PRELOAD cannot name a path with a space or a colon: ${library} (criu-cuda install copies it to one without)`
    : undefined;

/**
 * Puts a library in front of those that are already preloaded; never twice, and never beside the interceptor of
 * another build.
 * @param library path of the interceptor; `undefined` for variant `stock`, which does not use one
 */
export function preloadEnvironment(
  library: string | undefined,
  env: Environment = process.env,
): PreloadEnvironment {
  if (library === undefined) return {};
  checkPath('library', library);
  // the loader accepts spaces and colons as separators
  const others = (env.LD_PRELOAD ?? '')
    .split(/[ :]+/)
    .filter((one) => one !== '' && one !== library && !interceptorFileNames.test(basename(one)));
  return { LD_PRELOAD: [library, ...others].join(':') };
}
