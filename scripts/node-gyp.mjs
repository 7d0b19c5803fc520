// SPDX-License-Identifier: MIT
// Finds node-gyp, Node's headers, and what a build of the addon lacks.
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** The one that comes with npm, as npm tells its scripts or next to npm on PATH; otherwise a node-gyp on PATH. */
export function nodeGyp() {
  const named = process.env.npm_config_node_gyp;
  if (named) return named;
  const npm = (process.env.PATH ?? '')
    .split(delimiter)
    .map((dir) => join(dir, 'npm'))
    .find(existsSync);
  const beside = npm && join(dirname(realpathSync(npm)), '../node_modules/node-gyp/bin/node-gyp.js');
  return beside && existsSync(beside) ? beside : 'node-gyp';
}

/** Node's prefix if it was installed with its headers, so that nothing is downloaded. */
export function headersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}

const isOnPath = (env, name) =>
  (env.PATH ?? '').split(delimiter).some((dir) => dir !== '' && existsSync(join(dir, name)));

/** What node-gyp prints when it can neither find nor download Node's headers. */
const noHeaders =
  /\b(?:EAI_AGAIN|ENOTFOUND|ENETUNREACH|ECONNREFUSED|ECONNRESET|ETIMEDOUT)\b|node_api\.h: No such file|response downloading/;

/**
 * What a failed build of the addon lacked, each with its remedy; none if everything is there.
 * @param {{ output: string, prefix: string | undefined, env: Record<string, string | undefined> }} build
 * @returns {string[]}
 */
export function missingForAddon({ output, prefix, env }) {
  const missing = [];
  if (env.CXX === undefined && !['c++', 'g++'].some((name) => isOnPath(env, name))) {
    missing.push('a C++ compiler (Debian: g++)');
  }
  if (!isOnPath(env, 'make')) missing.push('make');
  if (env.PYTHON === undefined && !isOnPath(env, 'python3')) missing.push('python3');
  if (prefix === undefined && noHeaders.test(output)) {
    missing.push(
      "Node's headers: this Node has no include/node/node_api.h, and they cannot be downloaded; install a Node that has them, as the archives of nodejs.org do, or set npm_config_nodedir to a directory with them",
    );
  }
  return missing;
}
