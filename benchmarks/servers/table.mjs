// SPDX-License-Identifier: MIT
// Prints the rows of docs/vllm.md from results of run.mjs: medians, with the least and the most where there are five or more.
//
//   node benchmarks/servers/table.mjs FILE ...
import { readFileSync } from 'node:fs';

const GIB = 2 ** 30;

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const seconds = (ms) => (ms / 1000).toFixed(ms < 10_000 ? 2 : 1);

/** '1.06 s (0.98–1.13)'; nothing for no values. */
function time(values) {
  if (values.length === 0) return '';
  const range = ` (${seconds(Math.min(...values))}–${seconds(Math.max(...values))})`;
  return `${seconds(median(values))} s${values.length < 5 ? '' : range}`;
}

const gib = (bytes) => `${(bytes / GIB).toFixed(1)} GiB`;

/** Device memory that was moved by the pool, of all processes. */
const inUse = ({ memory }) => memory.reduce((sum, { pool }) => sum + (pool?.bytes ?? 0), 0);

function cellsOf(result) {
  const { about, coldStartMs, dumpMs, dumped, restores = [], laterDumps = [], prefetched = [] } = result;
  if (result.error !== undefined && restores.length === 0) return [about, result.error.split('\n')[0]];
  const awake = restores[0]?.awakeMs === undefined ? '' : ', awake and';
  const until = result.row === 'diffusion' ? 'one image' : 'first token';
  return [
    about,
    gib(inUse(dumped)),
    `${seconds(coldStartMs)} s`,
    time([dumpMs, ...laterDumps.map((one) => one.dumpMs)]),
    gib(dumped.imageBytes),
    `${time(restores.map((one) => one.firstAnswerMs))}${awake || ','} ${until}`,
    time(prefetched.map((one) => one.firstAnswerMs)),
  ];
}

const print = (cells) => console.log(`| ${cells.join(' | ')} |`);

for (const file of process.argv.slice(2)) {
  const { machine, rows } = JSON.parse(readFileSync(file, 'utf8'));
  console.log(`\n${file}: ${JSON.stringify(machine)}\n`);
  print(['server', 'in use', 'cold start', 'dump', 'image', 'restore, until', 'prefetched']);
  for (const result of rows) {
    print(cellsOf(result));
    const { upstream, inFlight, errors = [] } = result;
    if (upstream?.firstAnswerMs)
      print([
        `the same with CRIU's own plugin`,
        '',
        '',
        time([upstream.dumpMs]),
        '',
        `${time([upstream.firstAnswerMs])}, first token`,
      ]);
    if (inFlight !== undefined) console.log(`request in flight: ${inFlight}`);
    for (const error of errors) console.log(error);
  }
}
