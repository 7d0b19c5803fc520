// SPDX-License-Identifier: MIT
// `npm run check`: checks the sources without running them. Every check runs, as many at once as there are processors, so
// that one call shows everything that is wrong; the exit code is 1 if one failed. Tests are not checks: `npm test` runs
// them.
//   --only NAME,…  only these checks
//   --write        formats the files instead
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
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

/** The one that takes the longest is the first. */
const checks = {
  eslint: () => bin('eslint', '.'),
  ...formatters,
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

/** Runs a check's command. @returns its exit status, and what it printed, which others must not mix with */
async function run(command) {
  const [file, ...args] = command(false);
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, output }));
  });
}

/** @returns whether it found nothing */
async function runCheck([name, command]) {
  const started = performance.now();
  const { status, output } = await run(command).catch(({ message }) => ({ output: `${message}\n` }));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${output}${name}: ${status === 0 ? 'ok' : 'failed'} (${seconds} s)\n`);
  return status === 0;
}

/** Runs as many at once as there are processors. @returns the names of those that found something */
async function failedOf(selected) {
  const waiting = [...selected];
  const failed = [];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift())
      if (!(await runCheck(next))) failed.push(next[0]);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return failed;
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
  const failed = await failedOf(selected);
  console.log(failed.length === 0 ? `${selected.length} checks passed` : `failed: ${failed.join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
