// SPDX-License-Identifier: MIT
/**
 * Sums up files of results: `npm run campaign -- --summarize DIR --out FILE.jsonl` writes a line for each run and one for
 * each step, fault and outcome, and the table in README.md is made from them.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

const add = (counts: Counts, name: string): void => {
  counts[name] = (counts[name] ?? 0) + 1;
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

/** Faults by step, fault and outcome. */
function countLines(runs: readonly Run[]): string[] {
  const counts: Counts = {};
  for (const { cycles } of runs)
    for (const { step, fault, outcome, hit } of cycles)
      if (hit) add(counts, JSON.stringify({ step, fault, outcome }));
  return Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([key, count]) => JSON.stringify({ ...(JSON.parse(key) as object), count }));
}

function tableRow(step: string, outcomes: Counts): string {
  const of = (names: readonly string[]): number =>
    names.reduce((sum, name) => sum + (outcomes[name] ?? 0), 0);
  const all = of(Object.keys(outcomes));
  const cells = [...goodOutcomes.map((name) => of([name])), of([ownOutcome]), of(badOutcomes)];
  return `| ${[step, all, ...cells].join(' | ')} |`;
}

function coverageTable(runs: readonly Run[]): string {
  const steps = new Map<string, Counts>();
  const sum: Counts = {};
  for (const { step, outcome, hit } of runs.flatMap(({ cycles }) => cycles)) {
    if (!hit) continue;
    const counts = steps.get(step) ?? {};
    add(counts, outcome);
    add(sum, outcome);
    steps.set(step, counts);
  }
  const names = ['step', 'faults', ...goodOutcomes, "CRIU's own", 'bad'];
  const rows = [...steps].sort(([one], [other]) => one.localeCompare(other));
  return [
    `| ${names.join(' | ')} |`,
    `| --- |${' ---: |'.repeat(names.length - 1)}`,
    ...rows.map(([step, counts]) => tableRow(`\`${step}\``, counts)),
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

/** @param dir the files of results: `*.jsonl` */
export function summarize(dir: string, out: string): void {
  const files = readdirSync(dir).filter((name) => name.endsWith('.jsonl'));
  const runs = files.sort().map((name) => readRun(join(dir, name)));
  const measured = runs.filter(({ head }) => !head.baseline);
  writeFileSync(out, [...runs.map(runLine), ...countLines(measured), ''].join('\n'));
  replaceTable(coverageTable(measured));
  console.log(`${basename(out)}: ${runs.length} runs`);
}
