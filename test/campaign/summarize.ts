// SPDX-License-Identifier: MIT
/**
 * Sums up files of results: `npm run campaign -- --summarize DIR --out FILE.jsonl` writes a line for each run and one for
 * each step, fault and outcome, and the table in README.md is made from them.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { projectRoot } from '../../lib/paths.ts';
import { badOutcomes, goodOutcomes, ownOutcome, type Outcome } from './types.ts';

/** The first line of a file of results. */
export interface RunHead {
  run: { seed: string; commit: string; kernel: string; criu: string; baseline: boolean; started: string };
}

/** The lines after it, as far as they matter here. */
interface CycleLine {
  step: string;
  fault: string;
  hit: boolean;
  outcome: Outcome;
}

type Counts = Partial<Record<string, number>>;

const readme = join(projectRoot, 'test', 'campaign', 'README.md');
const BEGIN = '<!-- coverage -->';
const END = '<!-- end of coverage -->';

const add = (counts: Counts, name: string, number = 1): void => {
  counts[name] = (counts[name] ?? 0) + number;
};

interface Run {
  head: RunHead['run'];
  cycles: CycleLine[];
}

function readRun(path: string): Run {
  const [first, ...rest] = readFileSync(path, 'utf8').trim().split('\n');
  const head = JSON.parse(first ?? '{}') as Partial<RunHead>;
  if (head.run === undefined) throw new Error(`${path}: the first line does not describe the run`);
  return { head: head.run, cycles: rest.map((line) => JSON.parse(line) as CycleLine) };
}

function runLine({ head, cycles }: Run): string {
  const outcomes: Counts = {};
  for (const { outcome } of cycles) add(outcomes, outcome);
  const faults = cycles.filter(({ hit }) => hit).length;
  return JSON.stringify({ ...head, cycles: cycles.length, faults, outcomes });
}

/** Adds the faults of runs, by step, fault and outcome. */
function addFaults(counts: Counts, runs: readonly Run[]): void {
  for (const { cycles } of runs)
    for (const { step, fault, outcome, hit } of cycles)
      if (hit) add(counts, JSON.stringify({ step, fault, outcome }));
}

const countLines = (counts: Counts): string[] =>
  Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([key, count]) => JSON.stringify({ ...(JSON.parse(key) as object), count }));

/** What an earlier summary has: its lines about runs, and the faults that it counts. */
function readSummary(path: string): { runs: string[]; counts: Counts } {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
  const isRun = (line: string): boolean => line.startsWith('{"seed"');
  const counts: Counts = {};
  for (const line of lines.filter((one) => !isRun(one))) {
    const { count, ...key } = JSON.parse(line) as { count: number };
    counts[JSON.stringify(key)] = count;
  }
  return { runs: lines.filter(isRun), counts };
}

function tableRow(step: string, outcomes: Counts): string {
  const of = (names: readonly string[]): number =>
    names.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0);
  const all = of(Object.keys(outcomes));
  const cells = [...goodOutcomes.map((name) => of([name])), of([ownOutcome]), of(badOutcomes)];
  return `| ${[step, all, ...cells].join(' | ')} |`;
}

function coverageTable(counts: Counts): string {
  const steps = new Map<string, Counts>();
  const sum: Counts = {};
  for (const [key, count] of Object.entries(counts)) {
    const { step, outcome } = JSON.parse(key) as CycleLine;
    const outcomes = steps.get(step) ?? {};
    add(outcomes, outcome, count);
    add(sum, outcome, count);
    steps.set(step, outcomes);
  }
  const names = ['step', 'faults', ...goodOutcomes, "CRIU's own", 'bad'];
  const rows = [...steps].sort(([one], [other]) => one.localeCompare(other));
  return [
    `| ${names.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(names.length - 1)}`,
    ...rows.map(([step, outcomes]) => tableRow(`\`${step}\``, outcomes)),
    tableRow('all', sum),
  ].join('\n');
}

function replaceTable(table: string): void {
  const text = readFileSync(readme, 'utf8');
  const begin = text.indexOf(BEGIN) + BEGIN.length;
  const end = text.indexOf(END);
  if (begin < BEGIN.length || end < begin) throw new Error(`${readme}: no place for the table`);
  writeFileSync(readme, `${text.slice(0, begin)}\n\n${table}\n\n${text.slice(end)}`);
}

/**
 * @param dir the files of results: `*.jsonl`
 * @param out a summary of earlier runs, to which these are added, or a new file
 */
export function summarize(dir: string, out: string): void {
  const { runs: earlier, counts } = readSummary(out);
  const files = readdirSync(dir).filter((name) => name.endsWith('.jsonl'));
  const runs = files.sort().map((name) => readRun(join(dir, name)));
  const twice = runs.find(({ head }) => earlier.some((line) => line.startsWith(`{"seed":"${head.seed}"`)));
  if (twice) throw new Error(`${out} has the run with seed ${twice.head.seed} already`);
  addFaults(
    counts,
    runs.filter(({ head }) => !head.baseline),
  );
  writeFileSync(out, [...earlier, ...runs.map(runLine), ...countLines(counts), ''].join('\n'));
  replaceTable(coverageTable(counts));
  console.log(`${basename(out)}: ${earlier.length + runs.length} runs`);
}
