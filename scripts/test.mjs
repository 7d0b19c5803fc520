// SPDX-License-Identifier: MIT
// Runs the C tests (ctest) and the TypeScript tests (vitest) on what is built, lists what was skipped and why, and
// prints the totals as the last line. In CI the C tests run again under the address, undefined-behavior and thread
// sanitizers, and a test that is skipped because something is not installed fails the run. Arguments after `npm test
// --` go to vitest.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unacceptedSkips } from './skips.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
const total = { passed: 0, failed: 0, skipped: [] };

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

/** ctest's JUnit report: a case per program. */
function countCtest(title, report, status) {
  const cases = [
    ...(report ?? '').matchAll(/<testcase name="([^"]*)"[^>]*status="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g),
  ];
  for (const [, name, state, body] of cases) {
    if (state === 'run') total.passed += 1;
    else if (state === 'fail') total.failed += 1;
    else {
      const output = unescapeXml(/<system-out>([\s\S]*?)<\/system-out>/.exec(body)?.[1] ?? '').trim();
      total.skipped.push(
        `${title} ${name}: ${
          output
            .split('\n')
            .at(-1)
            .replace(/^skipped: /, '') || 'no reason given'
        }`,
      );
    }
  }
  if (cases.length === 0 || (status !== 0 && !cases.some(([, , state]) => state === 'fail'))) {
    console.error(`${title} did not finish`);
    total.failed += 1;
  }
}

function ctest(title, dir, env, more = []) {
  const report = join(scratch, `${title}.xml`);
  const jobs = String(cpus().length);
  const args = ['--test-dir', dir, '--output-on-failure', '--output-junit', report, '-j', jobs, ...more];
  const status = run('ctest', args, env);
  countCtest(title, readReport(report), status);
}

function vitest(words) {
  const report = join(scratch, 'vitest.json');
  const isChosen = words.some((word) => word.startsWith('--project'));
  // the project gpu is for a machine with one: npm run test:gpu
  const projects = isChosen ? [] : ['unit', 'software', 'driver-*'].flatMap((name) => ['--project', name]);
  const args = [
    'run',
    '--reporter=default',
    '--reporter=./scripts/vitest-summary.mjs',
    ...projects,
    ...words,
  ];
  const status = run('node_modules/.bin/vitest', args, { CCR_VITEST_SUMMARY: report, NODE_ENV: 'test' });
  const text = readReport(report);
  const summary = text === undefined ? { passed: 0, failed: 0, skipped: [] } : JSON.parse(text);
  total.passed += summary.passed;
  total.failed += summary.failed;
  total.skipped.push(...summary.skipped);
  if (status !== 0 && summary.failed === 0) {
    console.error('vitest did not finish');
    total.failed += 1;
  }
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
const skipped = total.skipped.length > 0 ? `, ${total.skipped.length} skipped` : '';
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exit(total.failed + unaccepted.length > 0 ? 1 : 0);
