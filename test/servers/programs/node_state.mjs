// SPDX-License-Identifier: MIT
// Counts in its own memory, in memory that a thread shares, and in a process of its own that it asks. The thread waits for a
// lock in the shared memory; SERVER_DIR is where its files are, and argv[2] the port.
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { setTimeout as delay } from 'node:timers/promises';

const [COUNT, ASKED, ANSWERED] = [0, 1, 2];

function ofChild() {
  let count = 0;
  process.on('message', ({ id, number }) => process.send({ id, count: (count += number) }));
}

function ofThread() {
  const words = new Int32Array(workerData);
  for (let seen = 0; ; seen = Atomics.load(words, ASKED)) {
    Atomics.wait(words, ASKED, seen);
    Atomics.add(words, ANSWERED, 1);
    Atomics.notify(words, ANSWERED);
  }
}

async function ofServer() {
  const memory = new SharedArrayBuffer(16);
  const words = new Int32Array(memory);
  new Worker(import.meta.filename, { workerData: memory });
  const child = fork(import.meta.filename, ['child']);
  const waiting = new Map();
  child.on('message', (message) => waiting.get(message.id)(message));
  const askChild = (number) =>
    new Promise((resolve) => {
      const id = randomUUID();
      waiting.set(id, (message) => {
        waiting.delete(id);
        resolve(message.count);
      });
      child.send({ id, number });
    });
  const start = randomUUID();
  let [count, ticks] = [0, 0];
  globalThis.setInterval(() => (ticks += 1), 5);

  async function add(number) {
    count += number;
    Atomics.add(words, COUNT, number);
    await askChild(number);
    return { count };
  }

  async function check() {
    const answered = Atomics.load(words, ANSWERED);
    Atomics.add(words, ASKED, 1);
    Atomics.notify(words, ASKED);
    const { value } = Atomics.waitAsync(words, ANSWERED, answered, 5000);
    const lock = (await value) !== 'timed-out';
    const before = ticks;
    await delay(50);
    const ofOther = await askChild(0);
    console.log('checked');
    const agrees = count === Atomics.load(words, COUNT) && count === ofOther;
    return { start, version: process.version, count, agrees, lock, timers: ticks > before };
  }

  const answers = { '/': () => add(1), '/jump': () => add(1_000_000), '/check': check };
  const server = createServer(async (request, response) => {
    const body = JSON.stringify(await answers[request.url]());
    response.end(body); // with its length, so that the connection stays open
  });
  server.listen(Number(process.argv[2]), '127.0.0.1');
  await once(server, 'listening');
}

if (!isMainThread) ofThread();
else if (process.argv[2] === 'child') ofChild();
else await ofServer();
