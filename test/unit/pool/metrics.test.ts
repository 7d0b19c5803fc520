// SPDX-License-Identifier: MIT
/** The daemon's metrics, requested the way Prometheus does. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type IncomingHttpHeaders, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  controlSocket,
  formatPoolMetrics,
  servePoolMetrics,
  type PoolStatus,
} from '../../../lib/pool/index.ts';
import { parseExposition } from '../../helpers/exposition.ts';

const device = (uuid: string, free: number): PoolStatus['devices'][0] => ({
  name: 'Test GPU',
  uuid,
  totalBytes: 2 ** 34,
  freeBytes: free,
  residentBytes: 2 ** 20,
});
const status: PoolStatus = {
  version: '1',
  pid: 42,
  streams: 8,
  stagingBytes: 1024,
  contexts: [],
  operations: [],
  driver: 13_000,
  budgetBytes: 2 ** 33,
  devices: [device('GPU-a', 5), device('GPU-b', 7)],
  images: [
    {
      ...{ dir: '/i', pid: 9, origin: 'hold', isGolden: false, state: 'resident', memory: 'device' },
      ...{ bytes: 2 ** 20, idleMs: 1 },
    },
  ],
  counters: { dumps: 3, bytes_saved: 2 ** 40 },
};

let dir: string;
let server: HttpServer | undefined;
let daemon: Server | undefined;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-metrics-'));
});
afterEach(() => {
  server?.close();
  server = undefined;
  daemon?.close();
  daemon = undefined;
  rmSync(dir, { recursive: true });
});

/** A daemon that answers every request at its control socket like this. */
async function answerWith(text: string): Promise<void> {
  daemon = createServer((socket) => socket.end(text));
  daemon.listen(controlSocket(dir));
  await once(daemon, 'listening');
}

/** The status as the daemon writes it. */
const wire = ({ budgetBytes, devices, images, ...rest }: PoolStatus): string =>
  `${JSON.stringify({
    ...rest,
    budget_bytes: budgetBytes,
    devices: devices.map(({ totalBytes, freeBytes, residentBytes, ...one }) => ({
      ...one,
      ...{ total_bytes: totalBytes, free_bytes: freeBytes, resident_bytes: residentBytes },
    })),
    images: images.map(({ isGolden, idleMs, ...one }) => ({ ...one, golden: isGolden, idle_ms: idleMs })),
  })}\n`;

interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  text: string;
}

async function ask(
  where: { socketPath: string } | { port: number },
  path: string,
  method = 'GET',
): Promise<Answer> {
  const outgoing = request({ ...where, path, method, agent: false });
  const answered = once(outgoing, 'response');
  outgoing.end();
  const [response] = (await answered) as [
    NodeJS.ReadableStream & { statusCode?: number; headers: IncomingHttpHeaders },
  ];
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
  return { status: response.statusCode, headers: response.headers, text };
}

async function serve(): Promise<{ socketPath: string }> {
  const socketPath = join(dir, 'metrics.sock');
  server = await servePoolMetrics({ socketPath }, { runDir: dir });
  return { socketPath };
}

describe('the metrics server', () => {
  it('answers with the status of the daemon in the text format of Prometheus', async () => {
    await answerWith(wire(status));
    const answer = await ask(await serve(), '/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.headers).not.toHaveProperty('x-error');
    const families = parseExposition(answer.text);
    const values = [...families].map(([name, { type, samples }]) => [
      name.replace(/^criu_cuda_pool_/, ''),
      type,
      ...samples.map(({ labels, value }) => [...Object.entries(labels).flat(), value].join(' ')),
    ]);
    expect(values).toEqual([
      ['up', 'gauge', '1'],
      ['device_memory_bytes', 'gauge', `uuid GPU-a ${2 ** 34}`, `uuid GPU-b ${2 ** 34}`],
      ['device_free_bytes', 'gauge', 'uuid GPU-a 5', 'uuid GPU-b 7'],
      ['resident_bytes', 'gauge', `uuid GPU-a ${2 ** 20}`, `uuid GPU-b ${2 ** 20}`],
      ['budget_bytes', 'gauge', String(2 ** 33)],
      ['images', 'gauge', '1'],
      ['dumps_total', 'counter', '3'],
      ['bytes_saved_total', 'counter', String(2 ** 40)],
    ]);
    for (const { help } of families.values()) expect(help).toMatch(/^\S.*\.$/);
    expect(families.get('criu_cuda_pool_bytes_saved_total')?.help).toContain('bytes saved');
  });

  it('asks the daemon again for each request', async () => {
    await answerWith(wire(status));
    const where = await serve();
    await ask(where, '/metrics');
    daemon?.close();
    await answerWith(wire({ ...status, images: [] }));
    const { text } = await ask(where, '/metrics');
    expect(parseExposition(text).get('criu_cuda_pool_images')?.samples).toEqual([{ labels: {}, value: 0 }]);
  });

  it.each([
    ['there is no daemon', undefined, 'no pool daemon answers'],
    ['the daemon refuses', '{"error":{"errno":1,"message":"not now"}}\n', 'not now'],
    [
      'the daemon closes the connection early',
      '{"version":',
      'closed the connection before the end of its answer',
    ],
  ])('says only that the daemon is down when %s, and why in a header', async (_when, said, reason) => {
    if (said !== undefined) await answerWith(said);
    const answer = await ask(await serve(), '/metrics');
    expect(answer.status).toBe(200);
    expect([...parseExposition(answer.text)]).toEqual([
      ['criu_cuda_pool_up', expect.objectContaining({ type: 'gauge', samples: [{ labels: {}, value: 0 }] })],
    ]);
    expect(decodeURIComponent(String(answer.headers['x-error']))).toContain(reason);
  });

  it.each([
    ['/', 'GET'],
    ['/metrics/', 'GET'],
    ['/metrics/more', 'GET'],
    ['/metrics', 'POST'],
    ['/metrics', 'DELETE'],
  ])('answers %s for %s with an error, without asking the daemon', async (path, method) => {
    let asked = 0;
    await answerWith(wire(status));
    daemon?.on('connection', () => (asked += 1));
    expect(await ask(await serve(), path, method)).toMatchObject({ status: 404, text: 'GET /metrics\n' });
    expect(asked).toBe(0);
  });

  it('listens on a loopback port', async () => {
    await answerWith(wire(status));
    server = await servePoolMetrics({ host: '127.0.0.1', port: 0 }, { runDir: dir });
    const { address, port } = server.address() as AddressInfo;
    expect(address).toBe('127.0.0.1');
    expect((await ask({ port }, '/metrics')).text).toBe(formatPoolMetrics(status));
  });
});

describe('formatPoolMetrics', () => {
  it('escapes characters that would end a label', () => {
    const odd = 'a"b\\c\nd';
    const text = formatPoolMetrics({ ...status, devices: [device(odd, 1)] });
    expect(parseExposition(text).get('criu_cuda_pool_device_free_bytes')?.samples).toEqual([
      { labels: { uuid: odd }, value: 1 },
    ]);
  });

  it('has no samples of devices if there are none', () => {
    const families = parseExposition(formatPoolMetrics({ ...status, devices: [] }));
    expect(families.get('criu_cuda_pool_device_free_bytes')?.samples).toEqual([]);
  });
});
