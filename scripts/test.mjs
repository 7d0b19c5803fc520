// SPDX-License-Identifier: MIT
// Runs the C tests (ctest) and the TypeScript tests (vitest) on what is built, lists what was skipped and why, and
// prints the totals as the last line. Where few tests fail, they run again, and those that pass then are listed as
// unsteady (scripts/unsteady.mjs). In CI the C tests run again under the address, undefined-behavior and thread
// sanitizers, a test that is skipped because something is not installed fails the run, and two tests of dumps and restores
// run at once (scripts/halves.mjs). Arguments after `npm test --` go to vitest, and there is no second run of it then.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { apart, canRunApart, together } from './halves.mjs';
import { unacceptedSkips } from './skips.mjs';
import { filesToRepeat, isExplained, sumUp } from './unsteady.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
const total = { passed: 0, failed: 0, skipped: [], unsteady: [] };

/** Runs a program. @returns its exit status, or 1 */
function run(file, args, env = {}) {
  const child = spawn(file, args, { stdio: 'inherit', env: { ...process.env, ...env } });
  return new Promise((resolve) => {
    child.on('exit', (status) => resolve(status ?? 1));
    child.on('error', (error) => {
      console.error(`cannot run ${file}: ${error.message}`);
      resolve(1);
    });
  });
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
async function runAndRepeat(title, once, words, again) {
  const { status, files } = await once(words);
  if (!isExplained(status, files)) {
    console.error(`${title} did not finish`);
    total.failed += 1;
  }
  const failed = filesToRepeat(files);
  const repeated = failed.length > 0 ? again(failed) : undefined;
  if (repeated) console.log(`once more, alone: ${failed.join(', ')}`);
  const second = repeated ? await once(repeated, true) : undefined;
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
  const once = async (words) => {
    const report = join(scratch, `${title}.xml`);
    rmSync(report, { force: true });
    const status = await run(
      'ctest',
      ['--test-dir', dir, '--output-on-failure', '--output-junit', report, ...words],
      env,
    );
    return { status, files: readCases(title, readReport(report)) };
  };
  return runAndRepeat(title, once, ['-j', String(cpus().length), ...more], () => ['--rerun-failed']);
}

/** @param half which of the tests of dumps and restores: all, or one of scripts/halves.mjs */
async function vitestOnce(words, half = '') {
  const report = join(scratch, `vitest${half}.json`);
  rmSync(report, { force: true });
  const reporters = ['--reporter=default', '--reporter=./scripts/vitest-summary.mjs'];
  const command = ['node_modules/.bin/vitest', ['run', ...reporters, ...words]];
  const [file, args] = half === 'apart' ? apart(...command) : command;
  const status = await run(file, args, { CCR_VITEST_SUMMARY: report, CCR_HALF: half, NODE_ENV: 'test' });
  return { name: `vitest ${half}`.trimEnd(), status, files: JSON.parse(readReport(report) ?? '[]') };
}

const projects = (...names) => names.flatMap((name) => ['--project', name]);

/** Unit tests have all processors; then the two halves share them, with random faults behind the one that needs less. */
async function vitestInHalves() {
  const unit = await vitestOnce(projects('unit'));
  const others = async () => {
    const tests = await vitestOnce(projects('software'), 'machine');
    await campaign();
    return tests;
  };
  const halves = [vitestOnce(projects('software', 'driver-*'), 'apart'), others()];
  return together([unit, ...(await Promise.all(halves))]);
}

/** @param words of the command line */
async function vitest(words) {
  const isChosen = words.some((word) => word.startsWith('--project'));
  // the project gpu is for a machine with one: npm run test:gpu
  const all = isChosen ? [] : projects('unit', 'software', 'driver-*');
  const again = (files) => [
    '--no-file-parallelism',
    ...files.flatMap((file) => ['--project', ...file.split(' ')]),
  ];
  const inHalves = process.env.CI && words.length === 0 && canRunApart();
  const once = (chosen, isRepeated) => (inHalves && !isRepeated ? vitestInHalves() : vitestOnce(chosen));
  await runAndRepeat('vitest', once, [...all, ...words], words.length > 0 ? () => undefined : again);
  if (process.env.CI && !inHalves) await campaign();
}

/** Random faults; each bad outcome prints the command that repeats it, and fails the run. */
async function campaign() {
  if ((await run(process.execPath, ['scripts/campaign.mjs', '--minutes', '3'])) === 0) total.passed += 1;
  else total.failed += 1;
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
await ctest('ctest', 'plugins-cuda/build', env);
// What depends on the driver, again as other drivers; vitest has projects for that.
for (const driver of ['610', '615'])
  await ctest(`ctest as driver ${driver}`, 'plugins-cuda/build', { ...env, SOFTCUDA_DRIVER: driver }, [
    '-L',
    'driver',
  ]);
/** Tests of multithreaded code: the interceptor, the transfer engine, the pool's sessions. image_bounds has one thread. */
const THREADED = ['-R', 'intercept|transfer|image|fuzz', '-E', '^image_bounds$'];

async function sanitized(sanitizers, more) {
  const status = await run(process.execPath, ['dist/cli.cjs', 'build', '--sanitize', sanitizers]);
  const dir = `plugins-cuda/build-${sanitizers.replaceAll(',', '-')}`;
  if (status === 0) await ctest(`ctest under ${sanitizers}`, dir, env, more);
  else total.failed += 1;
}

if (process.env.CI) {
  await sanitized('address,undefined');
  await sanitized('thread', THREADED);
}
await vitest(process.argv.slice(2));
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
