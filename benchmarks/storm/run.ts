// SPDX-License-Identifier: MIT
/**
 * Simulates storms of restores, runs one with real processes, and prints the tables of docs/scale.md.
 *
 *   npm run storm [-- --only model|real] [--write]
 *
 * `--only` takes the other part from benchmarks/results/storm.json. `real` needs root, `ip` and `tc`. `--write` writes
 * that file and the computed parts of docs/scale.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { figuresOf, sensitivities } from './figures.ts';
import { fillIn, type StormFile } from './page.ts';
import type { Comparison, RealConfig } from './real/cases.ts';
import { measureStorm } from './real/measure.ts';

const project = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
export const resultFile = project('benchmarks/results/storm.json');
export const pageFile = project('docs/scale.md');

/** The model's storm, with 1/1000 of its rates and bytes, twice: limited by the registry, and by the nodes. */
const shape = { imageBytes: 2 ** 26, chunkBytes: 2 ** 18, window: 16, fanOut: 2, nodeBitsPerS: 100e6 };
const REPEATS = 3;
const realConfigs: readonly RealConfig[] = [
  {
    ...{ ...shape, registryBitsPerS: 100e6 },
    cases: [
      { policy: 'registry', nodes: 1 },
      { policy: 'registry', nodes: 2 },
      { policy: 'registry', nodes: 3 },
      { policy: 'peer', nodes: 2 },
      { policy: 'peer', nodes: 3 },
    ],
  },
  {
    ...{ ...shape, registryBitsPerS: 200e6 },
    cases: [
      { policy: 'registry', nodes: 3 },
      { policy: 'peer', nodes: 3 },
    ],
  },
];

const readResult = (): StormFile => JSON.parse(readFileSync(resultFile, 'utf8')) as StormFile;

/** Whatever else a machine of two cores does makes a run slower, never faster. */
function fastestOf([first = [], ...others]: readonly (readonly Comparison[])[]): Comparison[] {
  return first.map((one, index) =>
    others.reduce((fastest, cases) => {
      const other = cases[index];
      return other !== undefined && other.measuredS < fastest.measuredS ? other : fastest;
    }, one),
  );
}

async function measure(): Promise<StormFile['real']> {
  const [{ model } = { model: '' }, ...others] = cpus();
  const runs: StormFile['real']['runs'] = [];
  for (const config of realConfigs) {
    const repeats: Comparison[][] = [];
    for (let i = 0; i < REPEATS; i += 1) repeats.push(await measureStorm(config));
    runs.push({ config, cases: fastestOf(repeats) });
  }
  const machine = { kernel: release(), cpus: `${others.length + 1} × ${model}` };
  return { date: new Date().toISOString(), ...machine, runs };
}

/** The page with these results, in the format of `npm run check`. */
export async function pageWith(result: StormFile): Promise<string> {
  const page = fillIn(readFileSync(pageFile, 'utf8'), result);
  return format(page, { ...(await resolveConfig(pageFile)), filepath: pageFile });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      write: { type: 'boolean', default: false },
    },
  });
  const { only } = values;
  if (only !== undefined && only !== 'model' && only !== 'real') {
    console.error(`unknown part "${only}"; accepted: model, real`);
    process.exit(2);
  }
  const model = only === 'real' ? readResult() : { figures: figuresOf(), sensitivities: sensitivities() };
  const real = only === 'model' ? readResult().real : await measure();
  const { figures, sensitivities: found } = model;
  const result: StormFile = { schemaVersion: 1, figures, sensitivities: found, real };
  if (values.write) writeFileSync(resultFile, `${JSON.stringify(result, null, 1)}\n`);
  const page = await pageWith(result);
  if (values.write) {
    writeFileSync(pageFile, page);
    console.log(`written: ${resultFile}, ${pageFile}`);
  } else
    for (const [, part = ''] of page.matchAll(/<!-- storm: \w+ -->\n(.*?)<!-- end -->/gs)) console.log(part);
}
