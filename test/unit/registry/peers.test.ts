// SPDX-License-Identifier: MIT
// Blobs from other nodes: what a peer that is dead, slow or lies costs.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, hexOf } from '../../../lib/registry/format.ts';
import { PeerNodes, readBlob } from '../../helpers/peers.ts';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { exec } from '../../../lib/exec.ts';
import { SourceError } from '../../../lib/registry/fetch/source.ts';
import { findPeers } from '../../../lib/registry/peers/find.ts';
import { serverTls } from '../../../lib/registry/peers/protocol.ts';

let nodes: PeerNodes;
beforeEach(() => {
  nodes = new PeerNodes();
});
afterEach(() => nodes.close());

const blob = randomBytes(3_000_000);

describe('a pull', () => {
  it('asks the next peer where one has nothing, and says so when nobody has it', async () => {
    const [empty, full] = [await nodes.node('a'), await nodes.node('b', blob)];
    expect((await readBlob(nodes.source([empty.address, full.address]), blob)).equals(blob)).toBe(true);
    await expect(readBlob(nodes.source([empty.address]), blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('asks a peer that does not have a blob for the next one on the same connection', async () => {
    let connections = 0;
    const empty = createServer(serverTls(nodes.key), (_, answer) => {
      answer.writeHead(404, { 'content-length': 0 }).end();
    }).on('secureConnection', () => (connections += 1));
    const peers = nodes.source([await nodes.listening(empty)]);
    for (let time = 0; time < 3; time += 1)
      await expect(readBlob(peers, randomBytes(10))).rejects.toMatchObject({ failure: 'absent' });
    expect(connections).toBe(1);
  });

  it('gives up a peer that is dead or has another key, and gets the blob from the next', async () => {
    let connections = 0;
    const dead = await nodes.listening(
      createTcpServer((socket) => {
        connections += 1;
        socket.destroy();
      }),
    );
    const stranger = await nodes.listening(createServer(serverTls(randomBytes(32).toString('hex'))));
    const good = await nodes.node('a', blob);
    const peers = nodes.source([dead, stranger, good.address]);
    for (let time = 0; time < 5; time += 1) {
      const other = randomBytes(100 + time);
      writeFileSync(join(nodes.dir, 'a/blobs/sha256', hexOf(digestOf(other))), other);
      expect((await readBlob(peers, other)).equals(other)).toBe(true);
    }
    expect(connections, 'it was asked at most once').toBeLessThan(2);
  });

  it('gives up a peer that takes connections and does not answer', async () => {
    let connections = 0;
    const mute = await nodes.listening(createTcpServer(() => (connections += 1)));
    const peers = nodes.source([mute], { answerMs: 200 });
    for (let time = 0; time < 3; time += 1)
      await expect(readBlob(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
    expect(connections).toBeLessThan(2);
  });

  it.each([
    ['falls silent', { silenceMs: 200 }, 0],
    ['is too slow', { graceMs: 300, leastRate: 1e9 }, 20],
  ])('gives up a peer that %s in the middle', async (_name, limits, everyMs) => {
    const slow = await nodes.listening(
      createServer(serverTls(nodes.key), (_, answer) => {
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
    const peers = nodes.source([slow], limits);
    await expect(readBlob(peers, blob)).rejects.toMatchObject({ failure: 'passing' });
    await expect(readBlob(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('believes no certificate', async () => {
    const [keyPem, certPem] = [join(nodes.dir, 'k.pem'), join(nodes.dir, 'c.pem')];
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
    const address = await nodes.listening(evil);
    await expect(readBlob(nodes.source([address]), blob)).rejects.toBeInstanceOf(SourceError);
    const { NODE_TLS_REJECT_UNAUTHORIZED: before } = process.env;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    try {
      await expect(readBlob(nodes.source([address]), blob)).rejects.toBeInstanceOf(SourceError);
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
    expect(asked).toBe(0);
  });

  it('gives up a peer that ends in the middle, and continues with another', async () => {
    const half = blob.subarray(0, 1_000_000);
    const breaking = await nodes.listening(
      createServer(serverTls(nodes.key), (_, answer) => {
        answer.writeHead(206, {
          'content-length': blob.length,
          'content-range': `bytes 0-${blob.length - 1}/${blob.length}`,
        });
        answer.write(half, () => answer.destroy());
      }),
    );
    const peers = nodes.source([breaking]);
    const parts: Buffer[] = [];
    const range = { digest: digestOf(blob), size: blob.length, offset: 0, length: blob.length };
    const { signal } = new AbortController();
    const first = peers.read(range, (part) => parts.push(Buffer.from(part)), signal);
    await expect(first).rejects.toMatchObject({ failure: 'passing' });
    expect(Buffer.concat(parts).equals(blob.subarray(0, Buffer.concat(parts).length))).toBe(true);
    await expect(readBlob(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('asks a peer no more that has sent other bytes', async () => {
    let asked = 0;
    const lying = await nodes.listening(
      createServer(serverTls(nodes.key), (_, answer) => {
        asked += 1;
        answer.writeHead(206, {
          'content-length': blob.length,
          'content-range': `bytes 0-${blob.length - 1}/${blob.length}`,
        });
        answer.end(Buffer.alloc(blob.length));
      }),
    );
    const peers = nodes.source([lying]);
    await readBlob(peers, blob);
    peers.distrust(digestOf(blob));
    await expect(readBlob(peers, blob)).rejects.toMatchObject({ failure: 'absent' });
    expect(asked).toBe(1);
  });

  it.each([
    ['another range', { 'content-length': 3_000_000, 'content-range': 'bytes 1-3000000/3000001' }, 206],
    ['all of another size', { 'content-length': 5 }, 200],
    ['an error', {}, 500],
  ])('does not take %s', async (_name, headers, status) => {
    const odd = await nodes.listening(
      createServer(serverTls(nodes.key), (_, answer) => {
        answer.writeHead(status, headers);
        answer.end();
      }),
    );
    await expect(readBlob(nodes.source([odd]), blob)).rejects.toMatchObject({ failure: 'absent' });
  });

  it('says which peers it does not ask, and why', async () => {
    const { address } = await nodes.node('a');
    const stranger = await nodes.listening(createServer(serverTls(randomBytes(32).toString('hex'))));
    const closed = createTcpServer();
    const dead = await nodes.listening(closed);
    closed.close();
    const peersFile = join(nodes.dir, 'peers');
    writeFileSync(peersFile, `# nodes\n${address}\n\n${stranger} # another fleet\n`);
    const options = { peers: [address, dead], peersFile, peerKey: nodes.keyFile };
    const { spec, place, warnings } = await findPeers(options, undefined, 'g'.repeat(32));
    expect(place, 'after the one that answers').toEqual({ index: 1, nodes: 2 });
    expect(spec).toMatchObject({ peers: [address], key: nodes.key });
    expect(warnings).toEqual([
      `the peer ${dead} is not asked: ECONNREFUSED`,
      `the peer ${stranger} is not asked: it does not have the key`,
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
    const place = { index: 0, nodes: 1 };
    expect(await findPeers({})).toEqual({ spec: undefined, place, warnings: [] });
  });
});
