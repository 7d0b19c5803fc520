// SPDX-License-Identifier: MIT
// Format, lint and types, of TypeScript and of C. All of them run, so that one call shows everything.
import { execFileSync, spawnSync } from 'node:child_process';

const bin = (name) => `node_modules/.bin/${name}`;
const list = (...patterns) =>
  execFileSync('git', ['ls-files', '--', ...patterns], { encoding: 'utf8' })
    .split('\n')
    .filter(Boolean);
const cFiles = list('plugins-cuda/*.c', 'plugins-cuda/*.h').filter((name) => !name.endsWith('_abi.h'));

const checks = [
  ['prettier', bin('prettier'), ['--check', '--log-level=warn', '.']],
  ['eslint', bin('eslint'), ['.']],
  ['types', bin('tsc'), ['-p', '.']],
  ['clang-format', 'clang-format', ['--dry-run', '--Werror', ...cFiles]],
];

const failed = checks.filter(([name, file, args]) => {
  const { status } = spawnSync(file, args, { stdio: 'inherit' });
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}`);
  return status !== 0;
});
if (failed.length > 0) process.exit(1);
