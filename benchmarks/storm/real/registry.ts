// SPDX-License-Identifier: MIT
/**
 * A registry as far as a pull needs one: an HTTP server that sends ranges of an image, and the SHA-256 of every chunk.
 * Prints its address, and ends with its stdin.
 *
 *   node --import ./scripts/typescript.mjs benchmarks/storm/real/registry.ts IMAGE CHUNK_BYTES HOST
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { sendRange } from './ranges.ts';

const [file = '', chunkBytes = '', host = ''] = process.argv.slice(2);
const image = readFileSync(file);
const size = Number(chunkBytes);
const digests = Array.from({ length: Math.ceil(image.length / size) }, (_, chunk) =>
  createHash('sha256')
    .update(image.subarray(chunk * size, (chunk + 1) * size))
    .digest('hex'),
);

const server = createServer((request, response) => {
  if (request.url === '/digests') {
    response.end(JSON.stringify(digests));
    return;
  }
  sendRange(request, response, (start, end) => Promise.resolve(image.subarray(start, end + 1)));
});
server.keepAliveTimeout = 0; // a node may be slow, and its connection then has nothing to send
server.listen(0, host, () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ url: `http://${host}:${port}` }));
});
process.stdin.resume().on('end', () => process.exit());
