// SPDX-License-Identifier: MIT
// What listContexts costs, and of what: the driver's answer, NVML's, and the daemon's.
//
//   node benchmarks/contexts.mjs --out FILE [--processes 8] [--queries 200] [--alloc 64M]
//
// Starts programs that hold device memory, and asks about them; a daemon of the run directory is asked, too, where one
// answers. All times in milliseconds. On the software driver they mean nothing, and the output says so.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { listContexts, watchContexts } from '../dist/context/index.js';
import { listGpuProcesses, listGpus, openDriver, openProber } from '../dist/gpu/index.js';
import { readPoolWork } from '../dist/pool/index.js';
import { Workload } from '../dist/workload/index.js';

const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    processes: { type: 'string', default: '8' },
    queries: { type: 'string', default: '200' },
    alloc: { type: 'string', default: '64M' },
  },
});

function wholeNumber(name) {
  const value = Number(options[name]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${name} ${options[name]}: not a whole number above 0`);
  process.exit(2);
}

const queries = wholeNumber('queries');
const processes = wholeNumber('processes');
if (options.out === undefined) {
  console.error('--out FILE is required');
  process.exit(2);
}

function summary(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return { n: sorted.length, median: at(0.5), p10: at(0.1), p90: at(0.9), max: sorted.at(-1), samples };
}

/** The first ones open libraries, start threads and learn what does not change. */
const WARM_UP = 20;

async function measure(ask) {
  const samples = [];
  for (let i = -WARM_UP; i < queries; i++) {
    const start = performance.now();
    await ask();
    if (i >= 0) samples.push(performance.now() - start);
  }
  return summary(samples);
}

/** From one look of a watch to the next, less the time in between: each look shows a state that the last one did not. */
async function measureWatch(driver, pid) {
  const samples = [];
  let isLocked = false;
  const watcher = watchContexts({ pid, intervalMs: 1 });
  const [first] = pid;
  let start;
  for await (const { changed } of watcher) {
    if (changed.length > 0) samples.push(performance.now() - start);
    if (samples.length === Math.min(queries, 50)) break;
    await (isLocked ? driver.unlock(first) : driver.lock(first));
    isLocked = !isLocked;
    start = performance.now();
  }
  if (isLocked) await driver.unlock(first);
  return summary(samples);
}

const driver = await openDriver();
const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-contexts-'));
const workloads = [];
try {
  for (let i = 0; i < processes; i++) {
    const socketPath = join(dir, `${i}.sock`);
    workloads.push(await Workload.start({ socketPath, args: ['--alloc', options.alloc] }));
  }
  const pid = workloads.map((workload) => workload.pid);
  const { device, software } = await workloads[0].status();
  const { driverVersion, gpus } = await listGpus();
  const snapshot = await listContexts({ pid });
  const rows = snapshot.contexts.length;
  if (rows !== pid.length) throw new Error(`${rows} contexts are listed of ${pid.length} processes`);
  const probe = await openProber();
  const hints = new Map();
  for (const one of pid)
    hints.set(one, { ...(await probe(one, { startTime: 0, restoreTid: 0, serviceTid: 0 })) });
  for (const known of hints.values()) known.serviceTid ||= -1;
  const probeOf = (one) => probe(one, hints.get(one));
  const results = {
    contexts: await measure(() => listContexts({ pid })),
    allContexts: await measure(() => listContexts()),
    probe: await measure(() => probeOf(pid[0])),
    probes: await measure(() => Promise.all(pid.map(probeOf))),
    state: await measure(() => driver.state(pid[0])),
    nvmlProcesses: await measure(() => listGpuProcesses()),
    daemon: snapshot.pool ? await measure(() => readPoolWork()) : null,
    watch: await measureWatch(driver, pid),
  };
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
  const result = { schemaVersion: 1, environment, processes: pid.length, ...results };
  writeFileSync(options.out, `${JSON.stringify(result, null, 2)}\n`);
  const labels = {
    contexts: `listContexts of ${pid.length} processes`,
    allContexts: 'listContexts of all processes',
    probe: 'one look at one process (driver and /proc)',
    probes: `one look at ${pid.length} processes at the same time`,
    state: "the driver's state of one process, with its restore thread",
    nvmlProcesses: 'processes of NVML',
    daemon: 'contexts of the daemon',
    watch: 'a change in a watch of all, intervalMs 1 included',
  };
  if (software) console.log('software driver: the times mean nothing');
  console.log(`${device}, ${gpus.length} GPUs; median and 90th percentile of ${queries}`);
  for (const [name, label] of Object.entries(labels)) {
    const one = results[name];
    console.log(`${label}: ${one === null ? '-' : `${one.median.toFixed(3)} ms, ${one.p90.toFixed(3)} ms`}`);
  }
} finally {
  for (const workload of workloads) await workload.kill();
  rmSync(dir, { recursive: true, force: true });
}
