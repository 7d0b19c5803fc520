// SPDX-License-Identifier: MIT
// Compiles lib/ to dist/. The command line can be run as a program afterwards, for `npx criu-cuda` in a clone does not
// see to that when it has run one before.
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.build.json')],
  { stdio: 'inherit' },
);
if (status === 0) chmodSync(path('dist/cli.js'), 0o755);
process.exitCode = status ?? 1;
