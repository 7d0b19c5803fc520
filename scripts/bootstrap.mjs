// SPDX-License-Identifier: MIT
// From a fresh clone to a command: node_modules, TypeScript, the machine's set-up, the C build, then what was asked
// for. Every step does nothing when it was done before. Plain JavaScript without dependencies, because it runs first.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dirname, join } from 'node:path';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [task = 'setup', ...rest] = process.argv.slice(2);
const tasks = ['setup', 'demo', 'test', 'check'];

function fail(message, code = 2) {
  console.error(message);
  process.exit(code);
}

/** Runs a step; its failure ends everything with its exit code. */
function run(file, args, env = {}) {
  const { status, error } = spawnSync(file, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error) fail(`${file} could not be run: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

const modified = (path) => (existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : -1);
const cli = (...args) => run(process.execPath, ['dist/cli.js', ...args]);

function nodeVersion() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 17)) {
    fail(`Node ${process.versions.node} is too old: 20.17 or newer is needed`);
  }
}

function nodeModules() {
  if (modified('node_modules/.package-lock.json') >= modified('package-lock.json')) return;
  console.error('installing node_modules …');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

if (!tasks.includes(task)) fail(`unknown task "${task}"; accepted: ${tasks.join(', ')}`);
nodeVersion();
nodeModules();
run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']);
cli('setup', ...(task === 'setup' ? [] : ['--quiet-if-ready']));
if (task !== 'setup') cli('build');
if (task === 'demo') cli('demo', ...rest);
if (task === 'check') run(process.execPath, ['scripts/check.mjs']);
if (task === 'test' || task === 'check') run(process.execPath, ['scripts/test.mjs', ...rest]);
