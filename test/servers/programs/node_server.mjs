// SPDX-License-Identifier: MIT
// Answers with how often it was asked, and a random number of its start. It reads a file for each answer: libuv does
// that through io_uring where there is one.
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

const state = `${process.version} ${randomUUID()}`;
let count = 0;

const server = createServer(async (_request, response) => {
  count += 1;
  const text = await readFile(import.meta.filename, 'utf8');
  response.setHeader('connection', 'close');
  response.end(JSON.stringify({ count, state: `${state} ${text.length}` }));
});
server.listen(0, '127.0.0.1', () => {
  console.log(`running on http://127.0.0.1:${server.address().port}`);
});
