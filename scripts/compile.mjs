// SPDX-License-Identifier: MIT
// Compiles lib/ to dist/, and copies the charting library of reports to dist/vendor. The command line is made
// executable: `npx criu-cuda` in a clone does this only the first time.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [path('node_modules/typescript/bin/tsc'), '-p', path('tsconfig.build.json')],
  { stdio: 'inherit' },
);
if (status === 0) {
  chmodSync(path('dist/cli.js'), 0o755);
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
