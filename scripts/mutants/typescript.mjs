// SPDX-License-Identifier: MIT
// Mutants of TypeScript files by StrykerJS, against the unit tests that load them.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { must, run } from './run.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const stryker = join(here, 'node_modules', '@stryker-mutator', 'core', 'bin', 'stryker.js');
const INSTALL_TIMEOUT_MS = 600_000;

/** vitest is the project's own: StrykerJS must not bring another. */
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
    // of texts only the reader can tell whether they are right, and module-level tables need all tests for each mutant
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

/** StrykerJS' report as the C mutants have it. */
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

/**
 * Mutates TypeScript files. @param files relative to `root`
 * @param options timeoutMs
 * @returns every judged mutant with its verdict
 */
export async function mutateTypeScript(root, files, { timeoutMs }) {
  await install();
  const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-mutants-'));
  try {
    const config = join(scratch, 'stryker.config.json');
    writeFileSync(config, JSON.stringify(configuration(scratch, files)));
    const { code } = await run(process.execPath, [stryker, 'run', config], {
      cwd: root,
      timeoutMs,
      show: true,
      contained: true,
      env: { CRIU_CUDA_BUILD_DIR: join(root, 'plugins-cuda', 'build') },
    });
    const report = join(scratch, 'report.json');
    if (!existsSync(report)) {
      throw new Error(
        `StrykerJS ended with ${code} and no report: its tests fail without mutants, or the time was up`,
      );
    }
    return judgedIn(JSON.parse(readFileSync(report, 'utf8')));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
