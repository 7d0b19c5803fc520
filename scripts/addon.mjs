// SPDX-License-Identifier: MIT
// The Node addon. `node scripts/addon.mjs` builds it with node-gyp. With `--install`, as npm's install script, it
// does nothing where a prebuilt one fits, and a failed build is no failed installation: only the library's GPU and
// driver queries need the addon, and they say what is missing.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const installing = process.argv.includes('--install');

function fits() {
  try {
    createRequire(import.meta.url)('node-gyp-build')(root);
    return true;
  } catch {
    return false;
  }
}

/** node-gyp of the npm that runs this, else the one on PATH. */
function nodeGyp() {
  const script = process.env.npm_config_node_gyp;
  return script ? [process.execPath, [script]] : ['node-gyp', []];
}

/** Node's own headers where it was installed with them, so that nothing is downloaded. */
function headers() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

if (!installing || !fits()) {
  const [file, args] = nodeGyp();
  const { status, stdout, stderr, error } = spawnSync(
    file,
    [...args, 'configure', 'build', '--loglevel=error', '-j', '2', ...headers()],
    { cwd: root, encoding: 'utf8' },
  );
  if (status !== 0) {
    console.error(`${stdout ?? ''}${stderr ?? ''}${error ? error.message : ''}`.trim());
    console.error('the addon criu_cuda.node could not be built; a C++ compiler, make and python3 are needed');
    process.exit(installing ? 0 : 1);
  }
}
