// SPDX-License-Identifier: MIT
// Where node-gyp and Node's headers are.
import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** The one npm brings along, as npm names it to its scripts or beside npm on PATH; else a node-gyp on PATH. */
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

/** Node's prefix when it was installed with its headers, so that nothing is downloaded. */
export function headersPrefix() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}
