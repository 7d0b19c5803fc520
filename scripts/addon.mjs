// SPDX-License-Identifier: MIT
// The Node addon. `node scripts/addon.mjs` builds it with node-gyp. With `--install`, as npm's install script, it
// does nothing if a prebuilt one fits, and a failed build does not fail the installation: only the library's GPU and
// driver queries need the addon, and they say what is missing.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { headersPrefix, missingForAddon, nodeGyp } from './node-gyp.mjs';

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

if (!installing || !fits()) {
  const prefix = headersPrefix();
  const args = ['configure', 'build', '--loglevel=error', '-j', '2'];
  const { status, stdout, stderr, error } = spawnSync(
    nodeGyp(),
    prefix === undefined ? args : [...args, `--nodedir=${prefix}`],
    { cwd: root, encoding: 'utf8' },
  );
  if (status !== 0) {
    console.error(`${stdout ?? ''}${stderr ?? ''}${error ? error.message : ''}`.trim());
    const missing = missingForAddon({ output: `${stdout ?? ''}${stderr ?? ''}`, prefix, env: process.env });
    console.error(
      missing.length === 0
        ? 'cannot build the addon criu_cuda.node: node-gyp says above why'
        : ['cannot build the addon criu_cuda.node; missing:', ...missing].join('\n  '),
    );
    process.exit(installing ? 0 : 1);
  }
}
