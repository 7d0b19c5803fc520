// SPDX-License-Identifier: MIT
// From a fresh clone to a command: node_modules, TypeScript, the machine's setup with `criu-cuda` in PATH, the C build,
// then the requested task. `check` needs only node_modules, and `setup` with options builds nothing. A step that is
// already done does nothing. Plain JavaScript without dependencies, because it runs first.
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cudaToolkit } from './python.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [task = 'setup', ...rest] = process.argv.slice(2);
const tasks = ['setup', 'demo', 'test', 'check'];
const running = new Set();

/** Ends this script and what runs in parallel with the failed step. */
function end(code) {
  for (const child of running) child.kill();
  process.exit(code);
}

function fail(message, code = 2) {
  console.error(message);
  end(code);
}

// Ctrl-C in a terminal reaches the step, too; it cleans up, and this script ends with its exit code.
process.on('SIGINT', () => {});
for (const name of ['SIGTERM', 'SIGHUP'])
  process.on(name, () => running.forEach((child) => child.kill(name)));

/** Runs a step; its failure ends everything with its exit code. */
async function run(file, args) {
  const child = spawn(file, args, { cwd: root, stdio: 'inherit' });
  running.add(child);
  const [code, signal] = await new Promise((resolve) => {
    child.on('exit', (...how) => resolve(how));
    child.on('error', (error) => fail(`cannot run ${file}: ${error.message}`));
  });
  running.delete(child);
  if (signal !== null) end(128 + constants.signals[signal]);
  if (code !== 0) end(code);
}

const modified = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : -1);
const node = (...args) => run(process.execPath, args);
const cli = (...args) => node('dist/cli.cjs', ...args);

function nodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(
      `Node ${process.versions.node} is too old: 20.19 or newer is needed\n` +
        'Debian 12 has an older one: take it from https://nodejs.org/en/download',
    );
  }
}

async function nodeModules() {
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return;
  console.error('installing node_modules …');
  await run('npm', [
    'ci',
    '--include=dev',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]);
}

function toolkit() {
  try {
    return cudaToolkit();
  } catch (error) {
    return fail(error.message, 1);
  }
}

if (!tasks.includes(task)) fail(`unknown task "${task}"; accepted: ${tasks.join(', ')}`);
nodeVersion();
await nodeModules();
if (task === 'check') {
  await node('scripts/check.mjs', ...rest);
  process.exit();
}
await node('scripts/compile.mjs');
await cli('setup', ...(task === 'setup' ? rest : ['--quiet-if-ready']));
const isCi = task === 'test' && process.env.CI;
// tests compare with NVIDIA's headers and assembler, which the C build finds here
if (isCi) process.env.CUDA_HOME ??= toolkit();
if (task === 'setup' && rest.length > 0) process.exit();
// packages are fetched while compilers run
await Promise.all([cli('build'), ...(isCi ? [run('sh', ['scripts/ci-packages.sh'])] : [])]);
if (isCi) process.env.PREBUILDS_ONLY ??= '1'; // tests use what ships
if (task === 'test') {
  await (process.env.PREBUILDS_ONLY
    ? node('scripts/prebuilds.mjs', ...(isCi ? [] : ['--possible']))
    : node('scripts/addon.mjs'));
  await node('scripts/test.mjs', ...rest);
}
// the commands `gpu` and `process` and the bundle need the addon
else await node('scripts/addon.mjs', '--install');
if (task === 'demo') await cli('demo', ...rest);
