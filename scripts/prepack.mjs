// SPDX-License-Identifier: MIT
// Runs before `npm pack` and `npm publish`: a package without what is built would be an empty shell.
import { existsSync } from 'node:fs';

const prebuilt = `prebuilds/linux-${process.arch}`;
const parts = process.arch === 'x64' ? ['lib/full/cuda_plugin.so', 'lib/full/cuda-poold'] : [];
const built = [
  'dist/cli.cjs',
  'man/criu-cuda.1',
  ...['criu_cuda.node', ...parts].map((name) => `${prebuilt}/${name}`),
];

const missing = built.filter((path) => !existsSync(path));
if (missing.length > 0) {
  console.error(`cannot pack: ${missing.join(', ')} not built; run: npm run build && npm run prebuilds`);
  process.exitCode = 1;
}
