// SPDX-License-Identifier: MIT
// Mutants of TypeScript files by StrykerJS, against the unit tests that load them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, run } from './run.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const stryker = join(here, 'node_modules', '@stryker-mutator', 'core', 'bin', 'stryker.js');
const INSTALL_TIMEOUT_MS = 600_000;

/** vitest is the project's own: StrykerJS must not install another one. */
async function install() {
  if (existsSync(stryker)) return;
  console.error('installing StrykerJS …');
  const args = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--loglevel=error'];
  await must('npm', ['ci', ...args], { cwd: here, timeoutMs: INSTALL_TIMEOUT_MS });
}

function configuration(scratch, files) {
  return {
    mutate: files,
    testRunner: 'vitest',
    vitest: { configFile: join('scripts', 'mutants', 'vitest.config.mjs'), related: true },
    plugins: [join(here, 'node_modules', '@stryker-mutator', 'vitest-runner', 'dist', 'src', 'index.js')],
    // only a reader can tell whether a text is correct, and module-level tables need all tests for each mutant
    mutator: { excludedMutations: ['StringLiteral'] },
    ignoreStatic: true,
    disableTypeChecks: false,
    concurrency: 1,
    timeoutMS: 20_000,
    ignorePatterns: [
      '/plugins-cuda/build*',
      '/benchmarks/results',
      '/prebuilds',
      '/coverage',
      '/scripts/mutants/node_modules',
    ],
    tempDirName: join(scratch, 'sandbox'),
    reporters: ['progress-append-only', 'json'],
    jsonReporter: { fileName: join(scratch, 'report.json') },
    allowConsoleColors: false,
  };
}

const verdicts = { Killed: 'killed', Timeout: 'killed', Survived: 'survived', NoCoverage: 'survived' };

/** StrykerJS's report in the form of the C mutants. */
function judgedIn(report) {
  return Object.entries(report.files).flatMap(([file, { source, mutants }]) => {
    const lines = source.split('\n');
    const wanted = mutants.filter(({ status }) => status !== 'Ignored');
    return wanted.map(({ status, location: { start, end }, mutatorName, replacement }) => {
      const first = lines[start.line - 1].slice(
        start.column - 1,
        start.line === end.line ? end.column - 1 : undefined,
      );
      const from = start.line === end.line ? first : `${first.trim()} …`;
      const kind = status === 'NoCoverage' ? `${mutatorName}, in no test` : mutatorName;
      return {
        file,
        line: start.line,
        kind,
        from,
        text: replacement,
        verdict: verdicts[status] ?? 'invalid',
      };
    });
  });
}

/** A directory of lib and the tests with its name: the tests of a file's own subject should notice a mutant. */
function groupsOf(root, files) {
  const groups = new Map();
  for (const file of files) {
    const area = file.split(sep)[1];
    const own = join('test', 'unit', area);
    const tests = existsSync(join(root, own)) ? `${own}/**/*.test.ts` : 'test/unit/**/*.test.ts';
    groups.set(tests, [...(groups.get(tests) ?? []), file]);
  }
  return groups;
}

async function runStryker(root, files, tests, timeoutMs) {
  const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-mutants-'));
  try {
    const config = join(scratch, 'stryker.config.json');
    writeFileSync(config, JSON.stringify(configuration(scratch, files)));
    await run(process.execPath, [stryker, 'run', config], {
      cwd: root,
      timeoutMs,
      show: true,
      contained: true,
      env: { CRIU_CUDA_BUILD_DIR: join(root, 'plugins-cuda', 'build'), CCR_MUTANT_TESTS: tests },
    });
    const report = join(scratch, 'report.json');
    return existsSync(report) ? judgedIn(JSON.parse(readFileSync(report, 'utf8'))) : undefined;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * Mutates TypeScript files. @param files relative to `root`
 * @param options until (of performance.now(): what still runs then is aborted)
 * @returns { judged, complete }: every judged mutant with its verdict, and whether there was time for all of them
 */
export async function mutateTypeScript(root, files, { until }) {
  await install();
  const judged = [];
  for (const [tests, group] of groupsOf(root, files)) {
    const timeoutMs = until - performance.now();
    if (timeoutMs < 1) return { judged, complete: false };
    console.error(`${group.join(', ')} by ${tests}`);
    const found = await runStryker(root, group, tests, timeoutMs);
    judged.push(...(found ?? []));
    if (found === undefined && performance.now() > until) return { judged, complete: false };
    if (found === undefined)
      throw new Error(`StrykerJS has no report: ${tests} fails without a mutant, see above`);
  }
  return { judged, complete: true };
}
