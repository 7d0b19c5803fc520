// SPDX-License-Identifier: MIT
// The checkpoint state and device memory of every CUDA process, and the free memory of every GPU, for Prometheus.
//
//   node state-exporter.mjs --port 9464     GET /metrics on the loopback address
import { createServer } from 'node:http';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { describeError, listCudaProcesses, listGpus, openDriver } from 'criu-cuda-toolkit/gpu';

const { values } = parseArgs({ options: { port: { type: 'string', default: '9464' } } });
const driver = await openDriver();
const states = ['running', 'locked', 'checkpointed', 'failed', 'stopped'];

function family(name, help, samples) {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
    return `${name}{${pairs.join(',')}} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines, ''].join('\n');
}

/** Reads everything for each scrape: a query to the driver takes less than a millisecond. */
async function metrics() {
  const [processes, { gpus }] = await Promise.all([
    listCudaProcesses(driver),
    listGpus({ driver: driver.path }),
  ]);
  const perState = processes.flatMap(({ pid, state }) =>
    states.map((one) => [{ pid, state: one }, one === state ? 1 : 0]),
  );
  const perDevice = processes.flatMap(({ pid, devices }) =>
    devices
      .filter(({ usedBytes }) => usedBytes !== null)
      .map(({ uuid, usedBytes }) => [{ pid, uuid }, usedBytes]),
  );
  const free = gpus.filter(({ memory }) => memory).map(({ uuid, memory }) => [{ uuid }, memory.freeBytes]);
  return [
    family(
      'cuda_process_state',
      '1 for the current checkpoint state of the process, 0 for the others.',
      perState,
    ),
    family('cuda_process_memory_bytes', 'Device memory of the process in bytes.', perDevice),
    family('cuda_gpu_free_bytes', 'Free memory of the GPU in bytes.', free),
  ].join('');
}

const server = createServer((request, response) => {
  if (request.method !== 'GET' || request.url !== '/metrics') {
    response.writeHead(404).end('GET /metrics\n');
    return;
  }
  metrics().then(
    (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text),
    (error) => response.writeHead(500).end(`${describeError(error)}\n`),
  );
});
server.listen(Number(values.port), '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${server.address().port}/metrics`);
