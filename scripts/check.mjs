// SPDX-License-Identifier: MIT
// `npm run check`: checks the sources without running them. Every check runs, so that one call shows everything that
// is wrong; the exit code is 1 if one failed. Tests are not checks: `npm test` runs them.
//   --only NAME,…  only these checks
//   --write        formats the files instead
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pythonEnvironment } from './python.mjs';
import { sourceFiles } from './sources.mjs';

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));

/** A program of node_modules, of this directory, or of a Python package. */
const bin = (name, ...args) => [join('node_modules/.bin', name), ...args];
const script = (name, ...args) => [process.execPath, join('scripts', name), ...args];
const python = (name, ...args) => [join(pythonEnvironment('check'), 'bin', name), ...args];

/** A command that finds the Python packages' programs first: protoc, here. */
const withTools = (command) => [
  'env',
  `PATH=${pythonEnvironment('check')}/bin:${process.env.PATH}`,
  ...command,
];

/** C and C++; declarations of another project's ABI (`*_abi.h`) are laid out by hand. */
const cFiles = () =>
  sourceFiles().filter(
    (path) => /^(?:plugins-cuda|native)\/.*\.(?:c|h|cc)$/.test(path) && !path.endsWith('_abi.h'),
  );

const formatters = {
  prettier: (write) => bin('prettier', write ? '--write' : '--check', '--log-level=warn', '.'),
  'clang-format': (write) =>
    python('clang-format', ...(write ? ['-i'] : ['--dry-run', '--Werror']), ...cFiles()),
};

const checks = {
  ...formatters,
  eslint: () => bin('eslint', '.'),
  types: () => bin('tsc', '-p', '.'),
  reference: () => bin('typedoc', '--emit', 'none'),
  headers: () => script('headers.mjs'),
  reuse: () => python('reuse', 'lint', '--quiet'),
  licenses: () => script('licenses.mjs'),
  metadata: () => script('metadata.mjs'),
  words: () => script('words.mjs'),
  manifests: () => script('manifests.mjs'),
  generated: () => withTools(script('protobuf.mjs', '--check')),
};

function runCheck([name, command]) {
  const started = performance.now();
  let status;
  try {
    const [file, ...args] = command(false);
    const result = spawnSync(file, args, { stdio: 'inherit' });
    if (result.error) throw result.error;
    status = result.status;
  } catch (error) {
    console.error(error.message);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'} (${seconds} s)`);
  return status === 0;
}

function chosen(words) {
  if (words.length === 0) return Object.entries(checks);
  const names = words[0] === '--only' ? (words[1] ?? '').split(',') : [];
  if (words.length === 2 && names.every((name) => name in checks)) {
    return Object.entries(checks).filter(([name]) => names.includes(name));
  }
  console.error(`usage: npm run check [-- --only NAME,…]; the names are ${Object.keys(checks).join(', ')}`);
  process.exit(2);
}

const words = process.argv.slice(2);
if (words[0] === '--write') {
  for (const format of Object.values(formatters)) {
    const [file, ...args] = format(true);
    if (spawnSync(file, args, { stdio: 'inherit' }).status !== 0) process.exitCode = 1;
  }
} else {
  const selected = chosen(words);
  const failed = selected.filter((check) => !runCheck(check)).map(([name]) => name);
  console.log(failed.length === 0 ? `${selected.length} checks passed` : `failed: ${failed.join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
