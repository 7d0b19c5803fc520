// SPDX-License-Identifier: MIT
// HTTP to a server on the loopback device.
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** Sends one request. @returns the text of the answer; any status but 200 is an error */
export function send(port, { method, path, body }, signal) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const where = { host: '127.0.0.1', port, method, path, headers, agent: false, signal };
    const sent = request(where, (answer) => {
      let text = '';
      answer.on('data', (data) => (text += data));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 200)}`));
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Sends a request until there is an answer: nobody listens before, or a listener does not accept yet. */
export async function untilAnswered(port, message, { limitMs, signal, isAlive = () => true }) {
  const end = performance.now() + limitMs;
  for (;;) {
    try {
      return await send(port, message, signal);
    } catch (error) {
      if (signal.aborted || performance.now() > end || !isAlive()) throw error;
      await sleep(2);
    }
  }
}
