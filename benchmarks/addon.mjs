// SPDX-License-Identifier: MIT
// What the addon costs: a state query compared with running cuda-checkpoint, what many queries leak, and how long the
// event loop is blocked while a large process is checkpointed.
//
//   node benchmarks/addon.mjs --out FILE [--cuda-checkpoint PROGRAM] [--alloc 512Mx32] [--queries 10000] [--pairs 50]
//
// All times are in milliseconds. On the software driver they mean nothing, and the output says so.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { listGpus, openDriver } from '../dist/api/gpu.js';
import { Workload } from '../dist/workload/index.js';

const run = promisify(execFile);
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    'cuda-checkpoint': { type: 'string' },
    alloc: { type: 'string', default: '512Mx32' },
    queries: { type: 'string', default: '10000' },
    pairs: { type: 'string', default: '50' },
  },
});

function wholeNumber(name) {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} ${options[name]}: not a whole number above 0`);
  process.exit(2);
}

function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return {
    n: sorted.length,
    median: at(0.5),
    p10: at(0.1),
    p90: at(0.9),
    p99: at(0.99),
    max: sorted.at(-1),
    samples,
  };
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Measures both ways in turn, so that other load on the machine affects both. */
async function stateQueries(driver, pid, pairs, tool) {
  const ask = () => driver.state(pid);
  const exec = () => run(tool, ['--get-state', '--pid', String(pid)]);
  for (let i = 0; i < 20; i++) await ask();
  if (tool) await exec();
  const [addon, program] = [[], []];
  for (let i = 0; i < pairs; i++) {
    for (let j = 0; j < 20; j++) addon.push(await timed(ask));
    if (tool) program.push(await timed(exec));
  }
  const result = { addon: summary(addon), cudaCheckpoint: tool ? summary(program) : null };
  return { ...result, ratio: tool ? result.cudaCheckpoint.median / result.addon.median : null };
}

function footprint() {
  collectGarbage();
  return { rssBytes: process.memoryUsage.rss(), files: readdirSync('/proc/self/fd').length };
}

async function leaks(driver, pid, queries) {
  const rounds = 10;
  const series = [];
  for (let i = 0; i < 1000; i++) await driver.state(pid); // what is allocated only once exists now
  const before = footprint();
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < queries / rounds; i++) await driver.state(pid);
    series.push(footprint());
  }
  return { queries, before, after: series.at(-1), series };
}

const RESOLUTION_MS = 1;

/** How late a timer fires while `work` runs. */
async function loopDelay(work) {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const durationMs = await timed(work);
  histogram.disable();
  const ms = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  return {
    durationMs,
    n: histogram.count,
    p50: ms(histogram.percentile(50)),
    p99: ms(histogram.percentile(99)),
    max: ms(histogram.max),
  };
}

async function checkpointDelay(driver, workload) {
  const { pid } = workload;
  const checksum = await workload.verify();
  const idle = await loopDelay(() => delay(2000));
  await driver.lock(pid);
  const checkpoint = await loopDelay(() => driver.checkpoint(pid));
  const restore = await loopDelay(() => driver.restore(pid));
  await driver.unlock(pid);
  if ((await workload.verify()) !== checksum) throw new Error('device memory has changed');
  return { idle, checkpoint, restore, checksum };
}

const queries = wholeNumber('queries');
const pairs = wholeNumber('pairs');
if (options.out === undefined) {
  console.error('--out FILE is required');
  process.exit(2);
}
const driver = await openDriver({ backend: 'addon' });
const { driverVersion, gpus } = await listGpus({ backend: 'addon' });
const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-addon-'));
const workload = await Workload.start({ socketPath: join(dir, 'w.sock'), args: ['--alloc', options.alloc] });
try {
  const { device, software, bytes } = await workload.status();
  const environment = {
    date: new Date().toISOString(),
    software,
    device,
    driver: driverVersion,
    gpus,
    node: process.versions.node,
    kernel: release(),
    cpus: availableParallelism(),
  };
  const state = await stateQueries(driver, workload.pid, pairs, options['cuda-checkpoint']);
  const many = await leaks(driver, workload.pid, queries);
  const eventLoop = await checkpointDelay(driver, workload);
  const result = { schemaVersion: 1, environment, deviceBytes: bytes, state, leaks: many, eventLoop };
  writeFileSync(options.out, `${JSON.stringify(result, null, 2)}\n`);
  const ms = (value) => `${value.toFixed(3)} ms`;
  const grown = (many.after.rssBytes - many.before.rssBytes) / 2 ** 20;
  if (software) console.log('software driver: the times mean nothing');
  console.log(
    [
      `${device}, ${(bytes / 2 ** 30).toFixed(2)} GiB of device memory`,
      `state query, median: ${ms(state.addon.median)}` +
        (state.ratio === null
          ? ' (no cuda-checkpoint named)'
          : `; exec of cuda-checkpoint ${ms(state.cudaCheckpoint.median)}, ${state.ratio.toFixed(0)}× as long`),
      `${queries} queries: ${grown.toFixed(2)} MiB more resident memory, ${many.after.files - many.before.files} more open files`,
      `event loop, p99: ${ms(eventLoop.checkpoint.p99)} during a checkpoint of ${ms(eventLoop.checkpoint.durationMs)}; ` +
        `${ms(eventLoop.restore.p99)} during the restore; ${ms(eventLoop.idle.p99)} idle`,
      `written: ${options.out}`,
    ].join('\n'),
  );
} finally {
  await workload.kill();
  rmSync(dir, { recursive: true, force: true });
}
