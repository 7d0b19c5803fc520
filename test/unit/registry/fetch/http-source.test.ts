// SPDX-License-Identifier: MIT
// What registries do wrong, and what then is in the cache: all of a blob, or nothing that has its name.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { fetchBlob, partPath, type WantedBlob } from '../../../../lib/registry/fetch/blob.ts';
import { HttpSource, type HttpSourceSpec } from '../../../../lib/registry/fetch/http-source.ts';
import { BlobServer, send, sendAndClose, type Asked } from '../../../helpers/blob-server.ts';

const SIZE = 3_000_000;

let dir: string;
let servers: BlobServer[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await server.close();
  rmSync(dir, { recursive: true });
});

async function serve(respond?: (asked: Asked) => void): Promise<BlobServer> {
  const server = await BlobServer.start(respond);
  servers.push(server);
  return server;
}

const hex = ({ digest }: WantedBlob): string => digest.slice(7);

/** Requests of Node's client, which repeats those of the simple one that were not answered in the simplest way. */
const byNode = ({ requests }: BlobServer) =>
  requests.filter(({ headers }) => headers.connection !== undefined);

async function pull(blob: WantedBlob, ...specs: HttpSourceSpec[]): Promise<number> {
  const sources = specs.map((spec) => new HttpSource(spec));
  let arrived = 0;
  const onBytes = (bytes: number): void => void (arrived += bytes);
  try {
    const { signal } = new AbortController();
    await fetchBlob(blob, dir, sources, { onBytes, signal, pauseMs: 1 });
    return arrived;
  } finally {
    for (const source of sources) source.close();
  }
}

function expectWhole(blob: WantedBlob & { bytes: Buffer }): void {
  expect(readdirSync(dir)).toEqual([hex(blob)]);
  expect(readFileSync(join(dir, hex(blob))).equals(blob.bytes)).toBe(true);
  expect(statSync(join(dir, hex(blob))).mode & 0o777).toBe(0o400);
}

it('a blob comes whole, without a range', async () => {
  const server = await serve();
  const blob = server.add(SIZE);
  expect(await pull(blob, server.spec())).toBe(SIZE);
  expectWhole(blob);
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined]);
});

it('the simple client gets simple answers, on one connection', async () => {
  const server = await serve();
  const source = new HttpSource(server.spec());
  const ports: (number | undefined)[] = [];
  for (const blob of [server.add(SIZE), server.add(1), server.add(SIZE)]) {
    const parts: Buffer[] = [];
    const range = { ...blob, offset: blob.size >> 1, length: blob.size - (blob.size >> 1) };
    const { signal } = new AbortController();
    await source.read(range, (part) => parts.push(Buffer.from(part)), signal);
    expect(Buffer.concat(parts).equals(blob.bytes.subarray(range.offset))).toBe(true);
    ports.push(server.requests.at(-1)?.socket.remotePort);
  }
  source.close();
  expect(byNode(server)).toEqual([]);
  expect(new Set(ports).size).toBe(1);
});

it('that something cannot be kept here is not blamed on the source', async () => {
  const server = await serve();
  const blob = server.add(SIZE);
  const source = new HttpSource(server.spec());
  const full = new Error('no space left on device');
  const range = { ...blob, offset: 0, length: SIZE };
  const take = (): void => {
    throw full;
  };
  const { signal } = new AbortController();
  await expect(source.read(range, take, signal)).rejects.toBe(full);
  source.close();
});

it('a connection that breaks off is continued where it was', async () => {
  const server = await serve((asked) => {
    if (asked.number < 3) sendAndClose(asked, 500_000);
    else send(asked);
  });
  const blob = server.add(SIZE);
  expect(await pull(blob, server.spec())).toBe(SIZE);
  expectWhole(blob);
  const starts = server.requests.map(({ headers }) => Number(/=(\d+)-/.exec(headers.range ?? '=0-')?.[1]));
  expect(starts[0]).toBe(0);
  expect(starts).toEqual(starts.toSorted((a, b) => a - b));
  expect(starts.at(-1)).toBeGreaterThan(0);
});

it('what an interrupted pull has left is not moved again', async () => {
  const server = await serve();
  const blob = server.add(SIZE);
  writeFileSync(partPath(dir, hex(blob)), blob.bytes.subarray(0, 2_000_000));
  await pull(blob, server.spec());
  expectWhole(blob);
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([`bytes=2000000-${SIZE - 1}`]);
});

it('what an interrupted pull has left is not lost to a source that has nothing of the blob', async () => {
  const peer = await serve(({ answer }) => answer.writeHead(404).end());
  const server = await serve();
  const blob = server.add(SIZE);
  peer.add(SIZE);
  writeFileSync(partPath(dir, hex(blob)), blob.bytes.subarray(0, 2_000_000));
  await pull(blob, peer.spec(), server.spec());
  expectWhole(blob);
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([`bytes=2000000-${SIZE - 1}`]);
});

it.each([
  ['wrong', (bytes: Buffer) => Buffer.alloc(bytes.length - 10)],
  ['too long', (bytes: Buffer) => Buffer.concat([bytes, bytes])],
  ['complete, and wrong', (bytes: Buffer) => Buffer.alloc(bytes.length)],
])('what was left is %s: all of it is moved', async (_name, left) => {
  const server = await serve();
  const blob = server.add(SIZE);
  writeFileSync(partPath(dir, hex(blob)), left(blob.bytes));
  await pull(blob, server.spec());
  expectWhole(blob);
});

it('a registry without ranges sends all, and only the rest of it is taken', async () => {
  const server = await serve(({ answer, bytes }) => {
    answer.writeHead(200, { 'content-length': bytes.length }).end(bytes);
  });
  const blob = server.add(SIZE);
  writeFileSync(partPath(dir, hex(blob)), blob.bytes.subarray(0, 1_234_567));
  await pull(blob, server.spec());
  expectWhole(blob);
  expect(server.requests[0]?.headers.range).toBe(`bytes=1234567-${SIZE - 1}`);
});

it('wrong bytes are refused by their digest, and are not kept', async () => {
  const server = await serve();
  const blob = server.add(SIZE);
  server.damage(blob.digest);
  await expect(pull(blob, server.spec())).rejects.toMatchObject({
    failure: 'wrong',
    message: expect.stringContaining(blob.digest) as string,
  });
  expect(existsSync(join(dir, hex(blob)))).toBe(false);
  expect(statSync(partPath(dir, hex(blob))).size).toBe(0);
});

type Respond = (asked: Asked) => void;

function status(code: number, headers: Record<string, string> = {}): Respond {
  return ({ answer }) => {
    answer.writeHead(code, headers);
    answer.end('text');
  };
}

/** Sends bytes without saying how many there are. */
function chunked(part: (bytes: Buffer) => Buffer, headers: Record<string, string> = {}): Respond {
  return ({ answer, bytes }) => {
    answer.writeHead(200, headers);
    answer.end(part(bytes));
  };
}

const hangUp: Respond = ({ request }) => {
  request.socket.destroy();
};

it.each([
  ['too many requests', status(429, { 'retry-after': '0' }), 5, 'passing', /answers 429/],
  ['an error of the registry', status(503), 5, 'passing', /answers 503/],
  ['no such range', status(416), 1, 'unfit', /answers 416/],
  ['no such blob', status(404), 1, 'absent', /answers 404/],
  ['a token', status(401, { 'www-authenticate': 'Bearer realm="https://x"' }), 1, 'unfit', /answers 401/],
  ['a refusal', status(403), 1, 'unfit', /answers 403/],
  ['a closed connection', hangUp, 5, 'passing', /does not answer/],
  ['a redirect to itself', status(307, { location: '/v2/m/p/blobs/x' }), 30, 'passing', /redirects 5 times/],
  ['a redirect to nowhere', status(307), 5, 'passing', /redirects to nowhere/],
  [
    'a redirect to a host without TLS',
    status(307, { location: 'http://192.0.2.1/x' }),
    1,
    'refused',
    /no TLS/,
  ],
  ['another protocol', status(307, { location: 'file:///etc/passwd' }), 1, 'refused', /no TLS/],
] as const)('%s', async (_name, respond, requests, failure, message) => {
  const server = await serve(respond);
  const blob = server.add(SIZE);
  await expect(pull(blob, server.spec())).rejects.toMatchObject({
    failure,
    message: expect.stringMatching(message) as string,
  });
  expect(byNode(server)).toHaveLength(requests);
  expect(existsSync(join(dir, hex(blob)))).toBe(false);
});

it('what passes is tried again', async () => {
  const server = await serve((asked) => {
    if (asked.number < 4) status(500)(asked);
    else send(asked);
  });
  const blob = server.add(SIZE);
  await pull(blob, server.spec());
  expectWhole(blob);
});

it.each([
  [
    'less than the blob has',
    (asked: Asked) => {
      send({ ...asked, to: asked.to - 1 });
    },
    'absent',
  ],
  [
    'more than the blob has',
    (asked: Asked) => {
      send({ ...asked, bytes: Buffer.concat([asked.bytes, asked.bytes]), to: asked.to + 9 });
    },
    'absent',
  ],
  ['more than the blob has, without saying so', chunked((bytes) => Buffer.concat([bytes, bytes])), 'passing'],
  ['less than the blob has, without saying so', chunked((bytes) => bytes.subarray(0, 0)), 'passing'],
  ['other encodings', chunked((bytes) => bytes, { 'content-encoding': 'gzip' }), 'unfit'],
] as const)('a registry that sends %s', async (_name, respond, failure) => {
  const server = await serve(respond);
  const blob = server.add(SIZE);
  await expect(pull(blob, server.spec())).rejects.toMatchObject({ failure });
  expect(existsSync(join(dir, hex(blob)))).toBe(false);
});

it('another part than was asked for is not taken', async () => {
  const server = await serve((asked) => {
    if (asked.number > 0) send(asked);
    else {
      const length = asked.to + 1 - asked.from;
      asked.answer.writeHead(206, {
        'content-range': `bytes 0-${length - 1}/${SIZE}`,
        'content-length': length,
      });
      asked.answer.end(asked.bytes.subarray(0, length));
    }
  });
  const blob = server.add(SIZE);
  writeFileSync(partPath(dir, hex(blob)), blob.bytes.subarray(0, 100));
  await pull(blob, server.spec());
  expectWhole(blob);
});

it('a silent registry is given up', async () => {
  const server = await serve(() => undefined);
  const blob = server.add(SIZE);
  await expect(pull(blob, server.spec({ silenceMs: 100 }))).rejects.toMatchObject({
    failure: 'passing',
    message: expect.stringContaining('was silent') as string,
  });
});

it('the password goes to the registry, and to no host that it redirects to', async () => {
  const store = await serve();
  const blob = store.add(SIZE);
  const registry = await serve(({ answer, request }) => {
    if (request.headers.authorization === 'Basic c2VjcmV0')
      answer.writeHead(307, { location: `${store.origin}/store/${blob.digest}` }).end();
    else answer.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  const spec = registry.spec({ authorization: 'Basic c2VjcmV0' });
  await pull(blob, spec);
  expectWhole(blob);
  expect(new Set(registry.requests.map(({ headers }) => headers.authorization))).toEqual(
    new Set(['Basic c2VjcmV0']),
  );
  expect(store.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
});

it('the next source is asked where one has nothing or wrong bytes, from the first byte', async () => {
  const good = await serve();
  const blob = good.add(SIZE);
  const [missing, wrong, broken] = [
    await serve(status(404)),
    await serve((asked) => {
      send({ ...asked, bytes: Buffer.alloc(SIZE), to: SIZE - 1 });
    }),
    await serve((asked) => {
      const isFirst = asked.number === 0;
      if (isFirst) sendAndClose({ ...asked, bytes: Buffer.alloc(SIZE), to: SIZE - 1 }, 1000);
      else asked.request.socket.destroy();
    }),
  ];
  expect(await pull(blob, missing.spec(), wrong.spec(), broken.spec(), good.spec())).toBe(SIZE);
  expectWhole(blob);
  expect(good.requests.map(({ headers }) => headers.range)).toEqual([undefined]);
});

it('a certificate that nobody vouches for is not believed, whatever the environment says', async () => {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const words = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-subj',
    '/CN=localhost',
  ];
  execFileSync('openssl', ['req', '-x509', ...words, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  let asked = 0;
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_, answer) => {
    asked += 1;
    answer.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  try {
    const origin = `https://localhost:${(server.address() as AddressInfo).port}`;
    const blob = { digest: `sha256:${'0'.repeat(64)}`, size: 1 };
    const spec = { kind: 'http', name: 'it', origin, repository: 'a', authorization: 'Basic x' } as const;
    const trusting = { ...spec, plainTo: 'nowhere' } as const;
    await expect(pull(blob, { ...trusting, ca: [] })).rejects.toMatchObject({ failure: 'passing' });
    expect(asked).toBe(0);
    await expect(pull(blob, { ...trusting, ca: undefined })).rejects.toMatchObject({ failure: 'absent' });
    expect(asked).toBeGreaterThan(0); // our own client, and then Node's
  } finally {
    vi.unstubAllEnvs();
    server.close();
  }
});
