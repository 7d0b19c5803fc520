// SPDX-License-Identifier: MIT
// Starts real servers, dumps each while it serves, restores it several times, and compares every answer.
//
//   node benchmarks/servers/run.mjs --models DIR --store DIR --output FILE [--rows NAME,…] [--restores 3] [--again 0]
//     [--prefetched 0] [--trace] [--upstream DIR] [--together] [--limit SECONDS] [--until SECONDS] [--port 8123]
//     [--criu-cuda PROGRAM] [--keep-logs DIR]
//
// Every command is typed: its time goes from before the program is started. "First answer" is one token, where the server makes
// tokens. Rows are run in the order of --rows; FILE is written after every step, so that a run that is killed loses only the step
// in progress.
// --together: all servers start at the same time, then each is dumped, and then each is restored, alone on the GPU.
// --again: so many dumps and restores more of the server that was restored last. --prefetched: so many restores more with the pool
// daemon, after `pool prefetch`. --trace: one more dump and restore with timelines. --upstream: a directory with CRIU's own
// cuda_plugin.so and NVIDIA's cuda-checkpoint; at the end, the first row's server is dumped and restored with them once.
// --limit: a server that takes longer to start, to be dumped, or for all its restores, is ended. --until: nothing new begins so
// many seconds after the start.
// A row that needs two GPUs is only run when it is named. See README.md for what a machine needs.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { machineFacts } from './machine.mjs';
import { compareWithUpstream, dump, restoreAll, start } from './measure.mjs';
import { rows } from './rows.mjs';
import { Server } from './server.mjs';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: '/opt/models' },
    store: { type: 'string' },
    output: { type: 'string' },
    rows: { type: 'string' },
    restores: { type: 'string', default: '3' },
    again: { type: 'string', default: '0' },
    prefetched: { type: 'string', default: '0' },
    trace: { type: 'boolean', default: false },
    upstream: { type: 'string' },
    together: { type: 'boolean', default: false },
    limit: { type: 'string' },
    until: { type: 'string' },
    port: { type: 'string', default: '8123' },
    'criu-cuda': { type: 'string', default: 'criu-cuda' },
    'keep-logs': { type: 'string' },
  },
});
const { store, output } = options;
if (store === undefined || output === undefined) {
  console.error('--store DIR and --output FILE are required');
  process.exit(2);
}
const wanted = options.rows?.split(',') ?? rows.filter(({ gpus = 1 }) => gpus === 1).map(({ name }) => name);
const unknown = wanted.filter((name) => !rows.some((row) => row.name === name));
if (unknown.length > 0) {
  console.error(`there is no row ${unknown.join(', ')}; rows: ${rows.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

const where = {
  criuCuda: options['criu-cuda'],
  models: options.models,
  logs: options['keep-logs'] ?? join(tmpdir(), `criu-cuda-servers-${options.port}`),
};
mkdirSync(where.logs, { recursive: true });
mkdirSync(store, { recursive: true });
const document = {
  machine: machineFacts(where.criuCuda, store),
  command: process.argv.slice(2).join(' '),
  rows: [],
};

/** Also the rows in progress. */
function save() {
  writeFileSync(`${output}.new`, `${JSON.stringify(document, null, 2)}\n`);
  renameSync(`${output}.new`, output);
}

const measured = wanted.map((name, i) => {
  const row = rows.find((one) => one.name === name);
  const server = new Server(row, Number(options.port) + i, where);
  const result = { row: row.name, about: row.about };
  return { server, images: join(store, row.name), result, save };
});

/** Does one thing with a server, unless it has failed before. A server that fails is ended. */
async function step(one, work) {
  const { server, result } = one;
  if (result.error) return;
  try {
    if (options.until !== undefined && performance.now() > Number(options.until) * 1000)
      throw new Error(`not begun: ${options.until} s of --until were over`);
    if (options.limit !== undefined) server.signal = AbortSignal.timeout(Number(options.limit) * 1000);
    await work(one);
  } catch (error) {
    const isLate = server.signal.aborted && !error.message.startsWith('not begun');
    result.error = isLate ? `ended after the ${options.limit} s of --limit: ${error.message}` : error.message;
    console.log(`${result.row}: ${result.error}`);
    process.exitCode = 1;
    await finish(one);
    save();
  }
}

async function finish({ server, images }) {
  await server.end();
  rmSync(images, { recursive: true, force: true });
}

const rounded = (restores = []) => restores.map(({ firstAnswerMs }) => Math.round(firstAnswerMs)).join(' ');

function report({ result }) {
  const { row, coldStartMs, dumpMs, laterDumps = [], restores, prefetched } = result;
  const dumps = [dumpMs, ...laterDumps.map((one) => one.dumpMs)].map(Math.round).join(' ');
  console.log(
    `${row}: cold ${Math.round(coldStartMs)}, dump ${dumps}, first answer ${rounded(restores)}, prefetched ${rounded(prefetched)} ms`,
  );
  for (const error of result.errors ?? []) console.log(`${row}: ${error}`);
}

const wantedRestores = {
  restores: Number(options.restores),
  again: Number(options.again),
  prefetched: Number(options.prefetched),
  trace: options.trace,
};
const isCompared = (one) => options.upstream !== undefined && one === measured[0];

async function restores(one) {
  await restoreAll(one, wantedRestores);
  if (one.result.errors) process.exitCode = 1;
  if (isCompared(one)) await one.server.end();
  else await finish(one);
  report(one);
  save();
}

async function upstream(one) {
  await compareWithUpstream(one, options.upstream);
  await finish(one);
  const { dumpMs, firstAnswerMs } = one.result.upstream;
  console.log(
    `${one.result.row}: upstream dump ${Math.round(dumpMs)}, first answer ${Math.round(firstAnswerMs)} ms`,
  );
}

document.rows = measured.map(({ result }) => result);
save();
const begin = (one) => step(one, start);
if (options.together) await Promise.all(measured.map(begin));
for (const one of measured) {
  if (!options.together) await begin(one);
  await step(one, dump);
  if (!options.together) await step(one, restores);
}
if (options.together) for (const one of measured) await step(one, restores);
if (options.upstream !== undefined) await step(measured[0], upstream);
