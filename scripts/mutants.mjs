// SPDX-License-Identifier: MIT
// Breaks the code on purpose, in many small ways, and lists the changes that no test noticed. TypeScript goes to
// StrykerJS with the unit tests of the file's directory, C to our own mutator with the C tests of its directory. Not
// part of CI: it takes minutes, and someone has to judge each survivor.
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { mutateC } from './mutants/c.mjs';
import { mutateTypeScript } from './mutants/typescript.mjs';

const usage = `npm run mutants -- [FILE…] [options]

  FILE…          .ts files of lib, .c files of plugins-cuda; without any: those that differ from --base
  --base REF     (default: main)
  --max N        C mutants of each file, chosen by the seed (default: 40)
  --seed N       (default: 1)
  --tests REGEX  ctest's -R, instead of the tests of the file's directory
  --minutes N    give up after (default: 20)
  --json FILE    write every mutant with its verdict
`;

const root = fileURLToPath(new URL('..', import.meta.url));

function fail(message) {
  console.error(message);
  process.exit(2);
}

function parse() {
  try {
    const text = (value) => ({ type: 'string', ...(value === undefined ? {} : { default: value }) });
    return parseArgs({
      allowPositionals: true,
      options: {
        ...{
          base: text('main'),
          max: text('40'),
          seed: text('1'),
          tests: text(),
          minutes: text('20'),
          json: text(),
        },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return fail(`${error.message}\n\n${usage}`);
  }
}

function changedFiles(base) {
  const args = ['diff', '--name-only', '--diff-filter=d', `${base}...`, '--'];
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0)
    fail(`cannot compare with ${base}: ${stderr.trim()}\nname another with --base, or name files`);
  return stdout.split('\n').filter(Boolean);
}

function wholeNumber(values, name) {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 1)
    fail(`--${name} ${values[name]}: accepted: a whole number above 0`);
  return value;
}

const isTypeScript = (file) => /^lib\/.*\.ts$/.test(file) && !file.endsWith('/index.ts');
const isC = (file) => /^plugins-cuda\/(?!test\/).*\.c$/.test(file);

function describe({ file, line, kind, from, text }) {
  const one = (code) => code.replaceAll(/\s+/g, ' ').slice(0, 70);
  return `${file}:${line}  ${kind}:  ${one(from)}  →  ${one(text) || '(nothing)'}`;
}

function summarize(judged) {
  const survivors = judged.filter(({ verdict }) => verdict === 'survived');
  for (const one of survivors) console.log(describe(one));
  const count = (verdict) => judged.filter((one) => one.verdict === verdict).length;
  const counts = ['killed', 'survived', 'equivalent', 'invalid'].map(
    (verdict) => `${count(verdict)} ${verdict}`,
  );
  console.log(`${judged.length} mutants: ${counts.join(', ')}`);
}

const { values, positionals } = parse();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const named = positionals.map((file) => relative(root, resolve(file)));
const other = named.find((file) => !existsSync(join(root, file)) || !(isTypeScript(file) || isC(file)));
if (other !== undefined) fail(`${other} is not a .ts file of lib or a .c file of plugins-cuda`);
const files = named.length > 0 ? named : changedFiles(values.base);
const typescript = files.filter(isTypeScript);
const c = files.filter(isC).map((file) => relative('plugins-cuda', file));
const [max, seed, minutes] = ['max', 'seed', 'minutes'].map((name) => wholeNumber(values, name));
const until = performance.now() + minutes * 60_000;
const judged = [];
let complete = true;
try {
  if (c.length > 0) {
    const report = (one) => console.error(`${one.verdict}  ${describe(one)}`);
    const result = await mutateC(join(root, 'plugins-cuda'), c, {
      seed,
      max,
      tests: values.tests,
      until,
      report,
    });
    judged.push(...result.judged);
    ({ complete } = result);
  }
  if (typescript.length > 0) {
    const result = await mutateTypeScript(root, typescript, { until });
    judged.push(...result.judged);
    complete &&= result.complete;
  }
} catch (error) {
  summarize(judged);
  fail(error.message);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(judged, null, 2)}\n`);
summarize(judged);
if (!complete) console.log(`incomplete: the limit of ${minutes} minutes is reached`);
