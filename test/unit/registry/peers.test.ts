// SPDX-License-Identifier: MIT
// Nodes that pass blobs on to each other: who gets in, what is sent, and what a peer that is dead or lies costs.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, request, type RequestOptions } from 'node:https';
import { connect, createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { SourceError } from '../../../lib/registry/fetch/source.ts';
import { digestOf } from '../../../lib/registry/format.ts';
import { findPeers } from '../../../lib/registry/peers/find.ts';
import { readPeerKey } from '../../../lib/registry/peers/key.ts';
import { clientTls, parsePeer, serverTls } from '../../../lib/registry/peers/protocol.ts';
import { servePeers, type PeerServer } from '../../../lib/registry/peers/server.ts';
import { PeersSource, type PeersSpec } from '../../../lib/registry/peers/source.ts';

let dir: string;
let keyFile: string;
let key: string;
const closers: (() => unknown)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'peers-'));
  keyFile = join(dir, 'key');
  key = randomBytes(32).toString('hex');
  writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(dir, { recursive: true });
});

const hexOf = (digest: string): string => digest.replace('sha256:', '');

/** A node with these blobs. */
async function node(name: string, ...blobs: Buffer[]): Promise<PeerServer> {
  const cache = join(dir, name);
  const blobsDir = join(cache, 'blobs/sha256');
  mkdirSync(blobsDir, { recursive: true, mode: 0o700 });
  for (const blob of blobs) writeFileSync(join(blobsDir, hexOf(digestOf(blob))), blob);
  const server = await servePeers({ cache, key: keyFile, listen: '127.0.0.1:0' });
  closers.push(server.close);
  return server;
}

/** A program of a stranger, or of a node that is not well. */
async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    if ('closeAllConnections' in server) (server as ReturnType<typeof createServer>).closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** @returns status, and the length of the answer */
function ask(
  address: string,
  path: string,
  options: RequestOptions = {},
): Promise<{ status: number; bytes: number }> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { ...clientTls(key), ...parsePeer(address), path, agent: false, ...options },
      (answer) => {
        let bytes = 0;
        answer.on('data', (part: Buffer) => (bytes += part.length));
        answer.once('end', () => {
          resolve({ status: answer.statusCode ?? 0, bytes });
        });
      },
    );
    asked.once('error', reject);
    asked.end();
  });
}

async function read(
  source: PeersSource,
  blob: Buffer,
  offset = 0,
  length = blob.length - offset,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  const range = { digest: digestOf(blob), size: blob.length, offset, length };
  await source.read(range, (part) => parts.push(Buffer.from(part)), new AbortController().signal);
  return Buffer.concat(parts);
}

/** Connections to peers. No limit is reached by a machine that is only busy. */
function sourceWith(peers: string[], limits: Partial<PeersSpec> = {}): PeersSource {
  const patient = { answerMs: 60_000, silenceMs: 60_000, graceMs: 60_000 };
  const opened = new PeersSource({ kind: 'peers', peers, key, ...patient, ...limits });
  closers.push(() => {
    opened.close();
  });
  return opened;
}

const source = (...peers: string[]): PeersSource => sourceWith(peers);

const blob = randomBytes(3_000_000);

describe('a node', () => {
  it('sends a blob and a range of it to those who have the key', async () => {
    const { address, use } = await node('a', blob);
    const peers = source(address);
    expect((await read(peers, blob)).equals(blob)).toBe(true);
    expect((await read(peers, blob, 1000, 50)).equals(blob.subarray(1000, 1050))).toBe(true);
    await expect.poll(use).toEqual({ blobs: 2, bytes: blob.length + 50, refused: 0 });
  });

  it.each([
    ['another key', () => ({ pskCallback: () => ({ psk: randomBytes(32), identity: 'criu-cuda-peer-1' }) })],
    ['another identity', () => ({ pskCallback: () => ({ psk: Buffer.from(key, 'hex'), identity: 'x' }) })],
    ['no key', () => ({ pskCallback: undefined, ciphers: undefined, rejectUnauthorized: false })],
    ['an older TLS', () => ({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'PSK' })],
  ])('lets nobody in who has %s', async (_name, options) => {
    const { address, use } = await node('a', blob);
    const tls = options() as RequestOptions;
    await expect(ask(address, `/v1/blobs/${digestOf(blob)}`, tls)).rejects.toThrow(
      /alert|protocol|reset|hang up/i,
    );
    await expect.poll(use).toEqual({ blobs: 0, bytes: 0, refused: 1 });
  });

  it('says nothing without TLS', async () => {
    const { address } = await node('a', blob);
    const { port } = parsePeer(address) ?? { port: 0 };
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (part) => (text += part.toString('latin1'))).on('error', () => undefined);
    socket.write(`GET /v1/blobs/${digestOf(blob)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'close');
    expect(text).not.toContain('HTTP/1.1 200');
    expect(text.length).toBeLessThan(100);
  });

  it('serves blobs, and no paths', async () => {
    const { address } = await node('a', blob);
    writeFileSync(join(dir, 'a/blobs/secret'), 'secret');
    const hex = hexOf(digestOf(blob));
    const other = digestOf('other');
    symlinkSync(join(dir, 'a/blobs/secret'), join(dir, 'a/blobs/sha256', hexOf(other)));
    writeFileSync(join(dir, `a/blobs/sha256/.${hex}.part`), 'half');
    const wrong = ['/', '/v1/blobs', '/v1/blobs/', '/v1/blobs/../secret', '/v1/blobs/sha256:../../secret'];
    wrong.push(
      '/v1/blobs/%2e%2e/secret',
      `/v1/blobs/sha256:.${hex}.part`,
      `/v1/blobs/${other}`,
      `/v1/blobs/sha256:${hex}/`,
    );
    for (const path of wrong) expect([path, (await ask(address, path)).status]).toEqual([path, 404]);
    const path = `/v1/blobs/sha256:${hex}`;
    for (const method of ['PUT', 'POST', 'DELETE', 'HEAD'])
      expect((await ask(address, path, { method })).status).toBe(405);
    const span = (range: string): RequestOptions => ({ headers: { range } });
    for (const range of ['bytes=3000000-', 'bytes=5-4', 'bytes=-5', 'x'])
      expect([range, (await ask(address, path, span(range))).status]).toEqual([range, 416]);
    expect(await ask(address, path, span('bytes=2999990-9999999'))).toEqual({ status: 206, bytes: 10 });
  });

  it.each(['7400', 'a:b:1', '1.2.3.4:99999', 'http://1.2.3.4:1', ''])(
    'cannot listen at "%s"',
    async (listen) => {
      await expect(servePeers({ cache: join(dir, 'a'), key: keyFile, listen })).rejects.toMatchObject({
        code: 'ERR_USAGE',
      });
    },
  );

  it('names the address when its port is taken', async () => {
    const { address } = await node('a');
    const second = servePeers({ cache: join(dir, 'a'), key: keyFile, listen: address });
    await expect(second).rejects.toMatchObject({
      code: 'ERR_ENVIRONMENT',
      message: expect.stringContaining(address) as string,
    });
  });

  it.runIf(process.getuid?.() === 0)('does not serve the cache of another user', async () => {
    await node('a', blob);
    chownSync(join(dir, 'a'), 12_345, 12_345);
    const served = servePeers({ cache: join(dir, 'a'), key: keyFile, listen: '127.0.0.1:0' });
    await expect(served).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });
});

describe('the key', () => {
  it.each([0o640, 0o604, 0o660])('is refused with mode %o', (mode) => {
    chmodSync(keyFile, mode);
    expect(() => readPeerKey(keyFile)).toThrow('other users may read or change the key');
  });

  it.runIf(process.getuid?.() === 0)('is refused when another user has it', () => {
    chownSync(keyFile, 12_345, 12_345);
    expect(() => readPeerKey(keyFile)).toThrow('belongs to another user');
  });

  it.each(['', 'password', `${'0'.repeat(63)}\n`, `${'0'.repeat(65)}\n`])('is not "%s"', (text) => {
    writeFileSync(keyFile, text);
    expect(() => readPeerKey(keyFile)).toThrow('64 hexadecimal digits');
  });

  it('is made as the error says', async () => {
    rmSync(keyFile);
    const error = await servePeers({ key: keyFile, listen: '127.0.0.1:0', cache: join(dir, 'a') }).catch(
      (one: unknown) => one,
    );
    const { hint } = error as { hint: string };
    await exec('sh', ['-c', /\(umask .*\)/.exec(hint)?.[0] ?? '']);
    expect(readPeerKey(keyFile)).toMatch(/^[\da-f]{64}$/);
  });
});

describe('a pull', () => {
  it('asks the next peer where one has nothing, and says so when nobody has it', async () => {
    const [empty, full] = [await node('a'), await node('b', blob)];
    expect((await read(source(empty.address, full.address), blob)).equals(blob)).toBe(true);
    await expect(read(source(empty.address), blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('gives up a peer that is dead or has another key, and gets the blob from the next', async () => {
    let connections = 0;
    const dead = await listening(
      createTcpServer((socket) => {
        connections += 1;
        socket.destroy();
      }),
    );
    const stranger = await listening(createServer(serverTls(randomBytes(32).toString('hex'))));
    const good = await node('a', blob);
    const peers = source(dead, stranger, good.address);
    for (let time = 0; time < 5; time += 1) {
      const other = randomBytes(100 + time);
      writeFileSync(join(dir, 'a/blobs/sha256', hexOf(digestOf(other))), other);
      expect((await read(peers, other)).equals(other)).toBe(true);
    }
    expect(connections, 'it was asked at most once').toBeLessThan(2);
  });

  it('gives up a peer that takes connections and does not answer', async () => {
    let connections = 0;
    const mute = await listening(createTcpServer(() => (connections += 1)));
    const peers = sourceWith([mute], { answerMs: 200 });
    for (let time = 0; time < 3; time += 1)
      await expect(read(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
    expect(connections).toBeLessThan(2);
  });

  it.each([
    ['falls silent', { silenceMs: 200 }, 0],
    ['is too slow', { graceMs: 300, leastRate: 1e9 }, 20],
  ])('gives up a peer that %s in the middle', async (_name, limits, everyMs) => {
    const slow = await listening(
      createServer(serverTls(key), (_, answer) => {
        const range = `bytes 0-${blob.length - 1}/${blob.length}`;
        answer.writeHead(206, { 'content-length': blob.length, 'content-range': range });
        answer.write(blob.subarray(0, 100));
        if (everyMs === 0) return;
        const timer = setInterval(() => answer.write('x'), everyMs);
        answer.once('close', () => {
          clearInterval(timer);
        });
      }),
    );
    const peers = sourceWith([slow], limits);
    await expect(read(peers, blob)).rejects.toMatchObject({ failure: 'passing' });
    await expect(read(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('believes no certificate', async () => {
    const [keyPem, certPem] = [join(dir, 'k.pem'), join(dir, 'c.pem')];
    const curve = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-subj',
      '/CN=127.0.0.1',
    ];
    await exec('openssl', ['req', '-x509', ...curve, '-keyout', keyPem, '-out', certPem, '-days', '2']);
    let asked = 0;
    const evil = createServer({ key: readFileSync(keyPem), cert: readFileSync(certPem) }, (_, answer) => {
      asked += 1;
      answer.end();
    });
    const address = await listening(evil);
    await expect(read(source(address), blob)).rejects.toBeInstanceOf(SourceError);
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      await expect(read(source(address), blob)).rejects.toBeInstanceOf(SourceError);
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
    expect(asked).toBe(0);
  });

  it('gives up a peer that ends in the middle, and continues with another', async () => {
    const half = blob.subarray(0, 1_000_000);
    const breaking = await listening(
      createServer(serverTls(key), (_, answer) => {
        answer.writeHead(206, {
          'content-length': blob.length,
          'content-range': `bytes 0-${blob.length - 1}/${blob.length}`,
        });
        answer.write(half, () => answer.destroy());
      }),
    );
    const peers = source(breaking);
    const parts: Buffer[] = [];
    const range = { digest: digestOf(blob), size: blob.length, offset: 0, length: blob.length };
    const { signal } = new AbortController();
    const first = peers.read(range, (part) => parts.push(Buffer.from(part)), signal);
    await expect(first).rejects.toMatchObject({ failure: 'passing' });
    expect(Buffer.concat(parts).equals(blob.subarray(0, Buffer.concat(parts).length))).toBe(true);
    await expect(read(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('asks a peer no more that has sent other bytes', async () => {
    let asked = 0;
    const lying = await listening(
      createServer(serverTls(key), (_, answer) => {
        asked += 1;
        answer.writeHead(206, {
          'content-length': blob.length,
          'content-range': `bytes 0-${blob.length - 1}/${blob.length}`,
        });
        answer.end(Buffer.alloc(blob.length));
      }),
    );
    const peers = source(lying);
    await read(peers, blob);
    peers.distrust(digestOf(blob));
    await expect(read(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
    expect(asked).toBe(1);
  });

  it.each([
    ['another range', { 'content-length': 3_000_000, 'content-range': 'bytes 1-3000000/3000001' }, 206],
    ['all of another size', { 'content-length': 5 }, 200],
    ['an error', {}, 500],
  ])('does not take %s', async (_name, headers, status) => {
    const odd = await listening(
      createServer(serverTls(key), (_, answer) => {
        answer.writeHead(status, headers);
        answer.end();
      }),
    );
    await expect(read(source(odd), blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('says which peers it does not ask, and why', async () => {
    const { address } = await node('a');
    const stranger = await listening(createServer(serverTls(randomBytes(32).toString('hex'))));
    const closed = createTcpServer();
    const dead = await listening(closed);
    closed.close();
    const peersFile = join(dir, 'peers');
    writeFileSync(peersFile, `# nodes\n${address}\n\n${stranger} # another fleet\n`);
    const { spec, warnings } = await findPeers({ peers: [address, dead], peersFile, peerKey: keyFile });
    expect(spec).toMatchObject({ peers: [address], key });
    expect(warnings).toEqual([
      `the peer ${dead} is not asked: ECONNREFUSED`,
      `the peer ${stranger} is not asked: it has another key`,
    ]);
  });

  it.each([
    [{ peers: ['10.0.0.7'] }, 'is not a host and a port'],
    [{ peers: ['10.0.0.7:1'] }, 'no key'],
    [{ peers: Array.from({ length: 65 }, (_, index) => `10.0.0.7:${index}`) }, 'at most 64'],
    [{ peersFile: '/nonexistent/peers' }, 'cannot read the list of peers'],
  ])('refuses %o', async (options, message) => {
    await expect(findPeers(options)).rejects.toThrow(message);
  });

  it('needs no key without peers', async () => {
    expect(await findPeers({})).toEqual({ spec: undefined, warnings: [] });
    expect(existsSync(keyFile)).toBe(true);
  });
});
