// SPDX-License-Identifier: MIT
/** The second run of what failed: which files get one, and what two runs together say. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';

interface File {
  file: string;
  passed: number;
  skipped: string[];
  failures: { name: string; message: string }[];
  isCertain?: boolean;
}
interface Sum {
  passed: number;
  failed: number;
  skipped: string[];
  unsteady: File['failures'];
}
const { filesToRepeat, isExplained, sumUp } = (await import(
  join(projectRoot, 'scripts', 'unsteady.mjs')
)) as {
  filesToRepeat: (run: File[]) => string[];
  isExplained: (status: number, run: File[]) => boolean;
  sumUp: (first: File[], second: File[]) => Sum;
};

const { apart } = (await import(join(projectRoot, 'scripts', 'halves.mjs'))) as {
  apart: (file: string, args: readonly string[]) => [file: string, args: string[]];
};

const failure = (name: string) => ({ name, message: `${name} failed` });
const file = (name: string, passed: number, ...failed: string[]): File => ({
  file: name,
  passed,
  skipped: [],
  failures: failed.map(failure),
});

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'unsteady-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('run again', () => {
  it('files with failures', () => {
    expect(filesToRepeat([file('a', 3), file('b', 1, 'one', 'two'), file('c', 0, 'three')])).toEqual([
      'b',
      'c',
    ]);
    expect(filesToRepeat([file('a', 3)])).toEqual([]);
  });

  it('no more than three of them', () => {
    const failing = ['a', 'b', 'c', 'd'].map((name) => file(name, 1, 'one'));
    expect(filesToRepeat(failing.slice(0, 3))).toEqual(['a', 'b', 'c']);
    expect(filesToRepeat(failing)).toEqual([]);
  });

  it('none when one failure is certain', () => {
    expect(filesToRepeat([file('a', 1, 'one'), { ...file('b', 0, 'race'), isCertain: true }])).toEqual([]);
    expect(filesToRepeat([file('a', 1, 'one'), { ...file('b', 1), isCertain: true }])).toEqual(['a']);
  });
});

describe('two runs together', () => {
  it('a test that passes the second time is unsteady', () => {
    const sum = sumUp([file('a', 3), file('b', 1, 'one')], [file('b', 2)]);
    expect(sum).toEqual({ passed: 5, failed: 0, skipped: [], unsteady: [failure('one')] });
  });

  it('a test that fails again has failed, and so has one that fails only the second time', () => {
    expect(sumUp([file('a', 1, 'one')], [file('a', 1, 'one')])).toMatchObject({ failed: 1, unsteady: [] });
    expect(sumUp([file('a', 1, 'one')], [file('a', 1, 'two')])).toMatchObject({
      failed: 1,
      unsteady: [failure('one')],
    });
  });

  it('without a second run, or when it does not come to the file, the first one counts', () => {
    expect(sumUp([file('a', 1, 'one')], [])).toMatchObject({ passed: 1, failed: 1, unsteady: [] });
    expect(sumUp([file('a', 1, 'one')], [file('b', 7, 'other')])).toMatchObject({ passed: 8, failed: 2 });
  });

  it('a skipped test is told once', () => {
    const skipping = { ...file('a', 1, 'one'), skipped: ['two: reason'] };
    expect(sumUp([skipping], [{ ...skipping, failures: [] }]).skipped).toEqual(['two: reason']);
  });
});

it('a run that ends with an error names what failed, or did not finish', () => {
  expect(isExplained(0, [file('a', 1)])).toBe(true);
  expect(isExplained(1, [file('a', 1, 'one')])).toBe(true);
  expect(isExplained(1, [file('a', 1)])).toBe(false);
  expect(isExplained(0, [])).toBe(false);
});

describe("vitest's reporter", () => {
  it('tells every failure with the first error, and the files', async () => {
    const summary = join(dir, 'summary.json');
    writeFileSync(
      join(dir, 'a.test.js'),
      `it('fine', () => {});
       it('not fine', () => { expect(1).toBe(2); });
       it('left out', (context) => { context.skip('no reason at all'); });
       describe('suite', () => {
         beforeAll(() => { throw new Error('hook'); });
         it('not reached', () => {});
       });`,
    );
    writeFileSync(join(dir, 'b.test.js'), `throw new Error('no test here');`);
    const reporter = `--reporter=${join(projectRoot, 'scripts', 'vitest-summary.mjs')}`;
    const vitest = join(projectRoot, 'node_modules', '.bin', 'vitest');
    writeFileSync(join(dir, 'vitest.config.mjs'), `export default { test: { name: 'own', globals: true } };`);
    const { exitCode, stdout, stderr } = await execResult(vitest, ['run', reporter], {
      cwd: dir,
      env: { CCR_VITEST_SUMMARY: summary },
    });
    expect(exitCode, stdout + stderr).toBe(1);
    const files = JSON.parse(readFileSync(summary, 'utf8')) as File[];
    const failures = [
      { name: 'own a.test.js > suite', message: 'hook' },
      { name: 'own a.test.js > not fine', message: expect.stringMatching(/^expected 1 to be 2/) as string },
    ];
    const skipped = ['left out: no reason at all', 'suite > not reached: disabled in the file'];
    expect(files).toEqual([
      { file: 'own a.test.js', passed: 1, skipped, failures },
      {
        file: 'own b.test.js',
        passed: 0,
        skipped: [],
        failures: [{ name: 'own b.test.js', message: 'no test here' }],
      },
    ]);
  });
});

describe('npm test', () => {
  /** A program that notes its words, and gives the results of its calls in turn. */
  function fake(path: string, target: string, results: readonly { text: string; exitCode: number }[]): void {
    const name = basename(path);
    results.forEach(({ text, exitCode }, call) => {
      writeFileSync(join(dir, `${name}-${call}.text`), text);
      writeFileSync(join(dir, `${name}-${call}.code`), String(exitCode));
    });
    const script = `#!/bin/sh
calls=$(cat ${dir}/${name}.calls 2>/dev/null | wc -l)
echo "$CCR_HALF $*" >>${dir}/${name}.calls
cp ${dir}/${name}-$calls.text "${target}"
exit $(cat ${dir}/${name}-$calls.code)`;
    writeFileSync(path, script, { mode: 0o755 });
  }
  const callsOf = (name: string): string[] =>
    readFileSync(join(dir, `${name}.calls`), 'utf8')
      .trimEnd()
      .split('\n');
  const junit = (...cases: string[]) => `<testsuite>${cases.join('')}</testsuite>`;
  const testcase = (name: string, status: string, output = '') =>
    `<testcase name="${name}" status="${status}"><system-out>${output}</system-out></testcase>`;
  const fine = { text: junit(testcase('other', 'run')), exitCode: 0 };

  beforeEach(() => {
    for (const name of ['scripts', 'dist', 'bin', 'node_modules/.bin'])
      mkdirSync(join(dir, name), { recursive: true });
    for (const name of ['test.mjs', 'halves.mjs', 'skips.mjs', 'unsteady.mjs'])
      cpSync(join(projectRoot, 'scripts', name), join(dir, 'scripts', name));
    writeFileSync(join(dir, 'dist', 'cli.cjs'), 'console.log("{}");');
  });

  async function run(ctest: { text: string; exitCode: number }[], vitest: File[][], CI = '') {
    fake(join(dir, 'bin', 'ctest'), '$5', ctest);
    const results = vitest.map((files) => ({
      text: JSON.stringify(files),
      exitCode: files.some(({ failures }) => failures.length > 0) ? 1 : 0,
    }));
    fake(join(dir, 'node_modules', '.bin', 'vitest'), '$CCR_VITEST_SUMMARY', results);
    const env = { PATH: `${dir}/bin:${process.env.PATH}`, CI };
    const { exitCode, stdout } = await execResult(process.execPath, ['scripts/test.mjs'], { cwd: dir, env });
    return { exitCode, lines: stdout.trimEnd().split('\n') };
  }

  it('runs what failed once more, alone, names what is unsteady, and succeeds', async () => {
    const race = testcase('race', 'fail', 'a line\nrace.c:1: 1 &lt; 0');
    const { exitCode, lines } = await run(
      [
        { text: junit(race, testcase('good', 'run')), exitCode: 8 },
        { text: junit(testcase('race', 'run')), exitCode: 0 },
        fine,
        fine,
      ],
      [[file('unit a.test.ts', 4), file('software b.test.ts', 1, 'one')], [file('software b.test.ts', 2)]],
    );
    expect(lines.slice(-3)).toEqual([
      'unsteady: ctest race: race.c:1: 1 < 0',
      'unsteady: one: one failed',
      '10 passed, 0 failed, 2 unsteady',
    ]);
    expect(exitCode).toBe(0);
    expect(callsOf('ctest')[1]).toMatch(/ --rerun-failed$/);
    expect(callsOf('vitest')[1]).toMatch(/ --no-file-parallelism --project software b\.test\.ts$/);
  });

  it('fails when a test fails twice, and does not repeat what a sanitizer has found', async () => {
    const report = testcase('race', 'fail', 'SUMMARY: ThreadSanitizer: data race');
    const broken = [file('unit a.test.ts', 4, 'one')];
    const { exitCode, lines } = await run(
      [{ text: junit(report), exitCode: 8 }, fine, fine],
      [broken, broken],
    );
    expect(lines.at(-1)).toBe('6 passed, 2 failed');
    expect(exitCode).toBe(1);
    expect(callsOf('ctest')).toHaveLength(3);
    expect(callsOf('vitest')).toHaveLength(2);
  });

  it('in CI, has the two halves of the software tests at once, one of them apart, and the campaign', async (context) => {
    const [program, words] = apart('true', []);
    const { exitCode: status } = await execResult(program, words);
    if (status !== 0) context.skip('no namespaces can be created here');
    writeFileSync(join(dir, 'scripts', 'campaign.mjs'), 'console.log(process.argv.slice(2).join(" "));');
    const half = [file('software a.test.ts', 2)];
    const { exitCode, lines } = await run(
      Array.from({ length: 5 }, () => fine),
      [[file('unit a.test.ts', 4)], half, half],
      'true',
    );
    expect(lines).toContain('--minutes 3');
    expect(lines.at(-1)).toBe('14 passed, 0 failed');
    expect(exitCode).toBe(0);
    const calls = callsOf('vitest').map((call) => call.replace(/run .*vitest-summary\.mjs /, ''));
    expect(calls[0]).toBe(' --project unit');
    expect(calls.slice(1).sort()).toEqual([
      'apart --project software --project driver-*',
      'machine --project software',
    ]);
  });
});
