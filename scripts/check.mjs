// SPDX-License-Identifier: MIT
// Format, lint and types, of TypeScript and of C. All of them run, so that one call shows everything. With --write it
// only formats.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const write = process.argv.includes('--write');
const bin = (name) => `node_modules/.bin/${name}`;

/** Our C files; tables of another ABI are laid out by hand. */
const cFiles = ['plugins-cuda', 'native'].flatMap((dir) =>
  readdirSync(dir, { recursive: true })
    .filter((name) => /\.(c|h|cc)$/.test(name) && !name.startsWith('build') && !name.endsWith('_abi.h'))
    .map((name) => join(dir, name)),
);

const formats = [
  ['prettier', bin('prettier'), [write ? '--write' : '--check', '--log-level=warn', '.']],
  ['clang-format', 'clang-format', [...(write ? ['-i'] : ['--dry-run', '--Werror']), ...cFiles]],
];
const checks = write
  ? formats
  : [...formats, ['eslint', bin('eslint'), ['.']], ['types', bin('tsc'), ['-p', '.']]];

const failed = checks.filter(([name, file, args]) => {
  const { status } = spawnSync(file, args, { stdio: 'inherit' });
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}`);
  return status !== 0;
});
if (failed.length > 0) process.exit(1);
