// SPDX-License-Identifier: MIT
// Compiles lib/ to dist/, bundles the command line, and copies the charting library of reports to dist/vendor.
import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleProgram } from './program.mjs';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.build.json')],
  { stdio: 'inherit' },
);
if (status === 0) {
  await bundleProgram();
  // .cjs: in this package .js is an ES module
  for (const [from, to] of [
    ['dist/echarts.min.js', 'echarts.min.cjs'],
    ['LICENSE', 'LICENSE'],
    ['NOTICE', 'NOTICE'],
  ]) {
    cpSync(path(`node_modules/echarts/${from}`), path(`dist/vendor/echarts/${to}`));
  }
}
process.exitCode = status ?? 1;
