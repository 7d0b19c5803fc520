// SPDX-License-Identifier: MIT
// Runs the C tests (ctest) and the TypeScript tests (vitest) on what is built, lists what was skipped and why, and
// prints the totals as the last line. Where few tests fail, they run again, and those that pass then are listed as
// unsteady (scripts/unsteady.mjs). In CI the C tests run again under the address, undefined-behavior and thread
// sanitizers, and a test that is skipped because something is not installed fails the run. Arguments after `npm test
// --` go to vitest, and there is no second run of it then.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unacceptedSkips } from './skips.mjs';
import { filesToRepeat, isExplained, sumUp } from './unsteady.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
const total = { passed: 0, failed: 0, skipped: [], unsteady: [] };

function run(file, args, env = {}) {
  const { status, error } = spawnSync(file, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  if (error) console.error(`cannot run ${file}: ${error.message}`);
  return status ?? 1;
}

function readReport(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

const unescapeXml = (text) =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');

/** Runs once with all words, and once more what `again` gives for the files that failed. */
function runAndRepeat(title, once, words, again) {
  const { status, files } = once(words);
  if (!isExplained(status, files)) {
    console.error(`${title} did not finish`);
    total.failed += 1;
  }
  const failed = filesToRepeat(files);
  const repeated = failed.length > 0 ? again(failed) : undefined;
  if (repeated) console.log(`once more, alone: ${failed.join(', ')}`);
  const second = repeated ? once(repeated) : undefined;
  const sum = sumUp(files, second && isExplained(second.status, second.files) ? second.files : []);
  total.passed += sum.passed;
  total.failed += sum.failed;
  total.skipped.push(...sum.skipped);
  total.unsteady.push(...sum.unsteady.map(({ name, message }) => `${name}: ${message.split('\n', 1)[0]}`));
}

/** ctest's JUnit report: a case per program. */
function readCases(title, report) {
  const cases = /<testcase name="([^"]*)"[^>]*status="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g;
  return [...(report ?? '').matchAll(cases)].map(([, program, state, body]) => {
    const output = unescapeXml(/<system-out>([\s\S]*?)<\/system-out>/.exec(body)?.[1] ?? '').trim();
    const lastLine = output.split('\n').at(-1);
    const name = `${title} ${program}`;
    const isSkipped = state !== 'run' && state !== 'fail';
    return {
      file: name,
      passed: state === 'run' ? 1 : 0,
      skipped: isSkipped ? [`${name}: ${lastLine.replace(/^skipped: /, '') || 'no reason given'}`] : [],
      failures: state === 'fail' ? [{ name, message: lastLine || 'no output' }] : [],
      isCertain: /Sanitizer|runtime error:/.test(output),
    };
  });
}

function ctest(title, dir, env, more = []) {
  const once = (words) => {
    const report = join(scratch, `${title}.xml`);
    rmSync(report, { force: true });
    const status = run(
      'ctest',
      ['--test-dir', dir, '--output-on-failure', '--output-junit', report, ...words],
      env,
    );
    return { status, files: readCases(title, readReport(report)) };
  };
  runAndRepeat(title, once, ['-j', String(cpus().length), ...more], () => ['--rerun-failed']);
}

function vitestOnce(words) {
  const report = join(scratch, 'vitest.json');
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=./scripts/vitest-summary.mjs'];
  const env = { CCR_VITEST_SUMMARY: report, NODE_ENV: 'test' };
  const status = run('node_modules/.bin/vitest', ['run', ...reporters, ...words], env);
  return { status, files: JSON.parse(readReport(report) ?? '[]') };
}

/** @param words of the command line */
function vitest(words) {
  const isChosen = words.some((word) => word.startsWith('--project'));
  // the project gpu is for a machine with one: npm run test:gpu
  const projects = isChosen ? [] : ['unit', 'software', 'driver-*'].flatMap((name) => ['--project', name]);
  const again = (files) => [
    '--no-file-parallelism',
    ...files.flatMap((file) => ['--project', ...file.split(' ')]),
  ];
  runAndRepeat('vitest', vitestOnce, [...projects, ...words], words.length > 0 ? () => undefined : again);
}

/** The CRIU that setup found, for C tests that dump themselves. */
function criuEnv() {
  const args = ['dist/cli.cjs', 'setup', '--check', '--json'];
  const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { CCR_TEST_CRIU: JSON.parse(stdout).criu?.path ?? '' };
}

// Screenshots of the report are kept.
if (process.env.CI) process.env.CCR_ARTIFACTS ??= 'build/artifacts';
const env = criuEnv();
ctest('ctest', 'plugins-cuda/build', env);
// What depends on the driver, again as other drivers; vitest has projects for that.
for (const driver of ['610', '615'])
  ctest(`ctest as driver ${driver}`, 'plugins-cuda/build', { ...env, SOFTCUDA_DRIVER: driver }, [
    '-L',
    'driver',
  ]);
/** Tests of multithreaded code: the interceptor, the transfer engine, the pool's sessions. */
const THREADED = ['-R', 'intercept|transfer|image|fuzz'];

function sanitized(sanitizers, more) {
  const status = run(process.execPath, ['dist/cli.cjs', 'build', '--sanitize', sanitizers]);
  const dir = `plugins-cuda/build-${sanitizers.replaceAll(',', '-')}`;
  if (status === 0) ctest(`ctest under ${sanitizers}`, dir, env, more);
  else total.failed += 1;
}

if (process.env.CI) {
  sanitized('address,undefined');
  sanitized('thread', THREADED);
}
vitest(process.argv.slice(2));
// Random faults; each bad outcome prints the command that repeats it, and fails the run.
if (process.env.CI) {
  if (run(process.execPath, ['scripts/campaign.mjs', '--minutes', '3']) === 0) total.passed += 1;
  else total.failed += 1;
}
rmSync(scratch, { recursive: true, force: true });

for (const skip of total.skipped) console.log(`skipped: ${skip}`);
const unaccepted = process.env.CI ? unacceptedSkips(total.skipped) : [];
for (const skip of unaccepted) console.log(`must not be skipped in CI (scripts/skips.mjs): ${skip}`);
for (const test of total.unsteady) console.log(`unsteady: ${test}`);
const others = [
  [total.unsteady.length, 'unsteady'],
  [total.skipped.length, 'skipped'],
].flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
console.log([`${total.passed} passed`, `${total.failed} failed`, ...others].join(', '));
process.exit(total.failed + unaccepted.length > 0 ? 1 : 0);
