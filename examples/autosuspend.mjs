// SPDX-License-Identifier: MIT
// A proxy in front of an inference server that frees the GPU while nobody sends requests. After an idle time it moves
// the server's device memory to host memory; the next request brings it back.
//
//   node autosuspend.mjs --pid 4711 --server 8000 --listen 9000 --idle-ms 30000
//
// The server process keeps running; only its device memory is away. On SIGINT or SIGTERM this program resumes the
// server and ends.
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import { parseArgs } from 'node:util';
import { describeError, openDriver } from 'criu-cuda-toolkit/gpu';

const { values } = parseArgs({
  options: {
    pid: { type: 'string' },
    server: { type: 'string' },
    listen: { type: 'string', default: '0' },
    'idle-ms': { type: 'string', default: '30000' },
  },
});
const pid = Number(values.pid);
const idleMs = Number(values['idle-ms']);
const driver = await openDriver();

let requests = 0; // requests in progress
let timer;
let last = Promise.resolve(); // suspends and resumes, one after the other

function inTurn(step) {
  last = last.then(step, step);
  return last;
}

async function suspend() {
  if (requests > 0 || (await driver.state(pid)) !== 'running') return;
  await driver.lock(pid);
  try {
    await driver.checkpoint(pid);
  } catch (error) {
    await driver.unlock(pid);
    throw error;
  }
  console.log(`suspended ${pid}`);
}

async function resume() {
  if ((await driver.state(pid)) === 'running') return;
  const start = performance.now();
  await driver.restore(pid);
  await driver.unlock(pid);
  console.log(`resumed ${pid} in ${Math.round(performance.now() - start)} ms`);
}

function whenIdle() {
  clearTimeout(timer);
  if (requests > 0) return;
  timer = setTimeout(() => {
    inTurn(suspend).catch((error) => {
      console.error(`not suspended: ${describeError(error)}`);
      whenIdle(); // the server may be busy with work of its own
    });
  }, idleMs);
}

function forward(request, response) {
  const { method, url, headers } = request;
  const onward = ask(
    { host: '127.0.0.1', port: Number(values.server), method, path: url, headers },
    (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on('error', (error) => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end(`${error.message}\n`);
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

const server = createServer((request, response) => {
  requests++;
  clearTimeout(timer);
  response.once('close', () => {
    requests--;
    whenIdle();
  });
  inTurn(resume).then(
    () => forward(request, response),
    (error) => response.writeHead(503).end(`${describeError(error)}\n`),
  );
});

async function end() {
  clearTimeout(timer);
  server.close();
  await inTurn(resume).catch((error) => console.error(describeError(error)));
  process.exit();
}
process.once('SIGINT', end);
process.once('SIGTERM', end);

server.listen(Number(values.listen), '127.0.0.1');
await once(server, 'listening');
console.log(`http://127.0.0.1:${server.address().port}`);
whenIdle();
