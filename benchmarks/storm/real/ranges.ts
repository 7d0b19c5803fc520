// SPDX-License-Identifier: MIT
/** HTTP ranges: how a chunk is asked for, and how it is sent. */
import { request, type Agent, type IncomingMessage, type ServerResponse } from 'node:http';

/** Answers a request with `Range: bytes=START-END` with 206 and these bytes; any other with 416. */
export function sendRange(
  incoming: IncomingMessage,
  response: ServerResponse,
  read: (start: number, end: number) => Promise<Buffer>,
): void {
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(incoming.headers.range ?? '') ?? [];
  if (start === undefined || end === undefined) {
    response.writeHead(416).end();
    return;
  }
  read(Number(start), Number(end)).then(
    (bytes) => response.writeHead(206, { 'content-length': bytes.length }).end(bytes),
    () => response.destroy(),
  );
}

/** The bytes from `start` to `end`, both included. @throws Error when the server sends anything else */
export function fetchRange(url: string, start: number, end: number, agent: Agent): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, headers: { range: `bytes=${start}-${end}` } }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(parts);
        if (response.statusCode === 206 && bytes.length === end - start + 1) resolve(bytes);
        else reject(new Error(`${url}: status ${response.statusCode ?? 0}, ${bytes.length} bytes`));
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}
