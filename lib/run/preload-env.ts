// SPDX-License-Identifier: MIT
/**
 * The only place that edits LD_PRELOAD.
 * @module
 */
import type { Environment } from '../paths.ts';
import { checkPath } from '../check.ts';

/** What has to be added to the environment of an application. */
export type PreloadEnvironment = Record<string, string>;

/**
 * Puts a library in front of what is preloaded already; once, however often it
 * is asked for.
 * @param library of the interceptor; `undefined` in the variant `stock`, which has none
 */
export function preloadEnvironment(
  library: string | undefined,
  env: Environment = process.env,
): PreloadEnvironment {
  if (library === undefined) return {};
  checkPath('library', library);
  // the loader takes spaces and colons as separators
  const others = (env.LD_PRELOAD ?? '').split(/[ :]+/).filter((one) => one !== '' && one !== library);
  return { LD_PRELOAD: [library, ...others].join(':') };
}
