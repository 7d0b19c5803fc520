// SPDX-License-Identifier: MIT
// `npm run prebuilds`: what ships in the package, so that installing it needs no compiler.
//   prebuilds/linux-x64/    the addon (N-API 8: one for every Node), and lib/ and bin/ of the C build
//   prebuilds/linux-arm64/  the addon, cross-compiled (Debian: g++-aarch64-linux-gnu); the C parts are for x86-64
// Arguments choose architectures. --possible skips those whose compiler is missing.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { arch as ownArch, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import prebuildify from 'prebuildify';
import { copyArtifacts } from '../dist/bundle/index.js';
import { buildDir } from '../dist/paths.js';
import { headersPrefix, nodeGyp } from './node-gyp.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const tools = { x64: 'x86_64-linux-gnu-', arm64: 'aarch64-linux-gnu-' };
const words = process.argv.slice(2);
const named = words.filter((word) => word !== '--possible');

for (const word of named) {
  if (word in tools) continue;
  console.error(`unknown architecture "${word}"; accepted: ${Object.keys(tools).join(', ')}`);
  process.exit(2);
}

/** Prefix of the names of the compilers. */
const prefixOf = (arch) => (arch === ownArch() ? '' : tools[arch]);
const hasCompiler = (arch) =>
  spawnSync(`${prefixOf(arch)}g++`, ['--version'], { stdio: 'ignore' }).error === undefined;

async function prebuild(arch) {
  const prefix = prefixOf(arch);
  const beside = mkdtempSync(join(tmpdir(), 'criu-cuda-prebuild-'));
  rmSync(join(root, 'prebuilds', `linux-${arch}`), { recursive: true, force: true });
  try {
    if (arch === ownArch() && arch === 'x64') await copyArtifacts(buildDir(), beside);
    process.env.CC = `${prefix}gcc`;
    process.env.CXX = `${prefix}g++`;
    await promisify(prebuildify)({
      cwd: root,
      arch,
      name: 'criu_cuda',
      napi: true,
      nodeGyp: nodeGyp(),
      strip: true,
      stripBin: `${prefix}strip`,
      targets: [`node@${process.versions.node}`],
      artifacts: beside,
    });
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  console.log(`prebuilds/linux-${arch}`);
}

// an addon's headers are the same for every architecture
const headers = headersPrefix();
if (headers !== undefined) process.env.npm_config_nodedir = headers;
Object.assign(process.env, { JOBS: '2', npm_config_loglevel: 'error' });
// node-gyp builds all of them in build/, where the build for this machine must stay
const wanted = (named.length > 0 ? named : Object.keys(tools)).sort(
  (a, b) => (a === ownArch()) - (b === ownArch()),
);
for (const arch of wanted) {
  if (words.includes('--possible') && !hasCompiler(arch)) {
    console.log(`prebuilds/linux-${arch} skipped: there is no ${prefixOf(arch)}g++`);
    continue;
  }
  await prebuild(arch);
}
