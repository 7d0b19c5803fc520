// SPDX-License-Identifier: MIT
// Finds node-gyp and Node's headers.
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
