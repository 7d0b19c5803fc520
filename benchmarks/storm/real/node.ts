// SPDX-License-Identifier: MIT
/**
 * A node: pulls the image chunk by chunk with a policy of the model, verifies each, and sends it to the nodes that ask for it.
 * Its argument is a {@link NodeConfig} as JSON. Prints its address; a line on stdin has the addresses of all nodes and is
 * the start. Prints a {@link NodeReport} when it has the image, and ends with its stdin.
 */
import { createHash } from 'node:crypto';
import { Agent, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import type { Policy } from '../simulate.ts';
import { parentOf } from '../trees.ts';
import { fetchRange, sendRange } from './ranges.ts';

/** What a node must know. */
export interface NodeConfig {
  index: number;
  nodes: number;
  policy: Policy;
  host: string;
  registry: string;
  imageBytes: number;
  chunkBytes: number;
  window: number;
  fanOut: number;
}

/** What a node did. */
export interface NodeReport {
  /** When it began and had everything: milliseconds of the machine's monotonic clock. */
  beganMs: number;
  doneMs: number;
  registryBytes: number;
  peerBytes: number;
  /** Of the whole image, computed after the end. */
  sha256: string;
  /** Time in SHA-256 of chunks. */
  verifyMs: number;
}

const config = JSON.parse(process.argv[2] ?? '') as NodeConfig;
const { index, policy, host, registry, imageBytes, chunkBytes, window, fanOut } = config;
const chunks = Math.ceil(imageBytes / chunkBytes);
const agent = new Agent({ keepAlive: true });
const image = Buffer.alloc(imageBytes);
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** For each chunk a promise that it is here, which a request of another node waits for. */
const arrivals = Array.from({ length: chunks }, () => {
  let arrived = (): void => undefined;
  const here = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  return { here, arrived };
});

const server = createServer((request, response) => {
  sendRange(request, response, async (start, end) => {
    await arrivals[start / chunkBytes]?.here;
    return image.subarray(start, end + 1);
  });
});

function fetchDigests(): Promise<string[]> {
  return new Promise((resolve, reject) => {
    get(`${registry}/digests`, { agent }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (part: string) => (text += part));
      response.on('end', () => {
        resolve(JSON.parse(text) as string[]);
      });
    }).on('error', reject);
  });
}

async function pull(urls: readonly string[], digests: readonly string[]): Promise<NodeReport> {
  const report = { registryBytes: 0, peerBytes: 0, verifyMs: 0 };
  const beganMs = nowMs();

  async function pullChunk(chunk: number): Promise<void> {
    const parent = policy === 'registry' ? undefined : parentOf(index, chunk, config);
    const url = parent === undefined ? registry : (urls[parent] ?? '');
    const start = chunk * chunkBytes;
    const bytes = await fetchRange(url, start, Math.min(start + chunkBytes, imageBytes) - 1, agent);
    const verifyMs = nowMs();
    const digest = createHash('sha256').update(bytes).digest('hex');
    report.verifyMs += nowMs() - verifyMs;
    if (digest !== digests[chunk]) throw new Error(`chunk ${chunk} from ${url} has the digest ${digest}`);
    bytes.copy(image, start);
    report[parent === undefined ? 'registryBytes' : 'peerBytes'] += bytes.length;
    arrivals[chunk]?.arrived();
  }

  const streams = policy === 'registry' ? 1 : fanOut;
  const each = Math.max(Math.floor(window / streams), 1);
  const next = Array.from({ length: streams }, (_, tree) => tree);
  const pulls = Array.from({ length: each * streams }, async (_, i) => {
    const tree = i % streams;
    for (;;) {
      const chunk = next[tree] ?? chunks;
      if (chunk >= chunks) return;
      next[tree] = chunk + streams;
      await pullChunk(chunk);
    }
  });
  await Promise.all(pulls);
  const doneMs = nowMs();
  return { ...report, beganMs, doneMs, sha256: createHash('sha256').update(image).digest('hex') };
}

server.keepAliveTimeout = 0;
const digests = await fetchDigests();
server.listen(0, host, () => {
  const { port } = server.address() as AddressInfo;
  console.log(JSON.stringify({ url: `http://${host}:${port}` }));
});
const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  pull(JSON.parse(line) as string[], digests).then(
    (report) => {
      console.log(JSON.stringify(report));
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
lines.on('close', () => process.exit());
