// SPDX-License-Identifier: MIT
// Draws the picture of the README, docs/images/h200-server-restore.svg: the phases of a restore, from the newest result of a
// server on a GPU below benchmarks/results.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const pictureFile = join(root, 'docs/images/h200-server-restore.svg');
const results = join(root, 'benchmarks/results');

/** The path of the newest result of a server that was measured on a GPU. */
export function newestServerResult() {
  const found = readdirSync(results, { recursive: true })
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({
      path: join(results, name),
      value: JSON.parse(readFileSync(join(results, name), 'utf8')),
    }))
    .filter(({ value }) => value.samples !== undefined && value.environment?.software === false)
    .filter(({ value }) => value.until === 'first token' || value.workload.some((word) => /serve/.test(word)))
    .sort((a, b) => b.value.environment.date.localeCompare(a.value.environment.date));
  return found[0].path;
}

if (import.meta.filename === process.argv[1]) {
  const { chartSvg, loadReport, resultCharts } = await import('../dist/report/index.js');
  const [named] = loadReport(newestServerResult()).results;
  const chart = resultCharts(named).find(({ id }) => id.endsWith('restore-phases'));
  writeFileSync(pictureFile, `${chartSvg(chart)}\n`);
  console.log(pictureFile);
}
