// SPDX-License-Identifier: MIT
// How fast device memory comes from a registry on this machine: nothing in the cache, all in the cache, and from a directory.
//
//   node benchmarks/pull.mjs DIR --store /mnt/huge [--rounds 3]
//
// DIR is the images directory of a checkpoint with GPU images; the store, a tmpfs as a rule, has the registry (Debian's
// docker-registry, on the loopback device) and the cache, each as large as the checkpoint. A pool has to run: criu-cuda pool
// start. Prints one line of JSON for each step, and the medians; GB/s of device memory, with the start of the command.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readGpuImages } from '../dist/images/index.js';

const { fetch } = globalThis;
const program = fileURLToPath(new URL('../dist/cli.cjs', import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { store: { type: 'string' }, rounds: { type: 'string', default: '3' } },
});
const [dir] = positionals;
const rounds = Number(options.rounds);
if (dir === undefined || options.store === undefined || !(Number.isInteger(rounds) && rounds > 0)) {
  console.error('usage: node benchmarks/pull.mjs DIR --store STORE [--rounds N]');
  process.exit(2);
}

/** Types a command. @returns its seconds and its JSON */
function typed(...words) {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words, '--json'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const seconds = (performance.now() - start) / 1000;
  if (status === 0) return { seconds, json: JSON.parse(stdout) };
  throw new Error(`criu-cuda ${words.join(' ')} exited with ${status}:\n${stdout}${stderr}`);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function startRegistry(work) {
  const port = await freePort();
  const config = join(work, 'config.yml');
  const lines = [
    'version: 0.1',
    'log: {level: error, accesslog: {disabled: true}}',
    `storage: {filesystem: {rootdirectory: ${join(work, 'registry')}}}`,
    `http: {addr: "127.0.0.1:${port}", secret: benchmark}`,
  ];
  writeFileSync(config, lines.join('\n'));
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  await once(child, 'spawn');
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined);
    if (answer?.status === 200) return { child, reference: `127.0.0.1:${port}/benchmark/pull:1` };
    if (child.exitCode !== null) throw new Error(`docker-registry exited with ${child.exitCode}`);
    await wait(20);
  }
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const images = await readGpuImages(dir);
const bytes = images.reduce((all, { stripes }) => all + stripes.reduce((sum, { size }) => sum + size, 0), 0);
const work = mkdtempSync(join(options.store, 'criu-cuda-pull-'));
const cache = join(work, 'cache');
let registry;
try {
  registry = await startRegistry(work);
  const { reference } = registry;
  const pushed = typed('image', 'push', dir, reference);
  console.log(JSON.stringify({ step: 'push', seconds: pushed.seconds, bytes, blocks: pushed.json.blocks }));
  const steps = {
    cold: () => {
      rmSync(cache, { recursive: true, force: true });
      return typed('pool', 'prefetch', reference, '--cache', cache);
    },
    warm: () => typed('pool', 'prefetch', reference, '--cache', cache),
    local: () => typed('pool', 'prefetch', dir),
  };
  const medians = {};
  for (const [step, run] of Object.entries(steps)) {
    const rates = [];
    for (let round = 1; round <= rounds; round += 1) {
      const { seconds, json } = run();
      rates.push(bytes / seconds / 1e9);
      console.log(
        JSON.stringify({ step, round, seconds, gbPerSecond: rates.at(-1), resident: json.resident }),
      );
      typed('pool', 'drop', json.dir, '--force');
    }
    medians[step] = median(rates);
  }
  console.log(JSON.stringify({ medians, bytes }));
} finally {
  registry?.child.kill();
  rmSync(work, { recursive: true, force: true });
}
