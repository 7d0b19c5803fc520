// SPDX-License-Identifier: MIT
// A node that sends its blobs to others: who gets in, and what is sent.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf, hexOf } from '../../../lib/registry/format.ts';
import { PeerNodes, readBlob } from '../../helpers/peers.ts';
import { chmodSync, chownSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { exec } from '../../../lib/exec.ts';
import { readPeerKey } from '../../../lib/registry/peers/key.ts';
import { clientTls, parsePeer } from '../../../lib/registry/peers/protocol.ts';
import { servePeers } from '../../../lib/registry/peers/server.ts';

let nodes: PeerNodes;
beforeEach(() => {
  nodes = new PeerNodes();
});
afterEach(() => nodes.close());

const blob = randomBytes(3_000_000);

describe('a node', () => {
  it('sends a blob and a range of it to those who have the key', async () => {
    const { address, use } = await nodes.node('a', blob);
    const peers = nodes.source([address]);
    expect((await readBlob(peers, blob)).equals(blob)).toBe(true);
    expect((await readBlob(peers, blob, 1000, 50)).equals(blob.subarray(1000, 1050))).toBe(true);
    await expect.poll(use).toEqual({ blobs: 2, bytes: blob.length + 50, unfinished: 0, refused: 0 });
  });

  it.each([
    ['another key', () => ({ pskCallback: () => ({ psk: randomBytes(32), identity: 'criu-cuda-peer-1' }) })],
    [
      'another identity',
      () => ({ pskCallback: () => ({ psk: Buffer.from(nodes.key, 'hex'), identity: 'x' }) }),
    ],
    ['no key', () => ({ pskCallback: undefined, ciphers: undefined, rejectUnauthorized: false })],
    ['an older TLS', () => ({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'PSK' })],
  ])('lets nobody in who has %s', async (_name, options) => {
    const { address, use } = await nodes.node('a', blob);
    const tls = options() as RequestOptions;
    await expect(nodes.ask(address, `/v1/blobs/${digestOf(blob)}`, tls)).rejects.toThrow(
      /alert|protocol|reset|hang up/i,
    );
    await expect.poll(use).toMatchObject({ blobs: 0, bytes: 0, refused: 1 });
  });

  it('says nothing without TLS', async () => {
    const { address } = await nodes.node('a', blob);
    const { port } = parsePeer(address) ?? { port: 0 };
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (part) => (text += part.toString('latin1'))).on('error', () => undefined);
    socket.write(`GET /v1/blobs/${digestOf(blob)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await once(socket, 'close');
    expect(text).not.toContain('HTTP/1.1 200');
    expect(text.length).toBeLessThan(100);
  });

  it('closes a connection that says nothing', async () => {
    const { address, use } = await nodes.nodeWith({ silenceMs: 200 }, 'a', blob);
    const socket = connect(parsePeer(address)?.port ?? 0, '127.0.0.1').on('error', () => undefined);
    socket.resume();
    await once(socket, 'close');
    await expect.poll(use).toMatchObject({ blobs: 0, refused: 1 });
  });

  it('closes a connection that reads nothing of a blob', async () => {
    const large = Buffer.alloc(64 * 2 ** 20, 1); // more than the sockets hold
    const { address, use } = await nodes.nodeWith({ silenceMs: 200 }, 'a', large);
    const path = `/v1/blobs/${digestOf(large)}`;
    const asked = request({ ...clientTls(nodes.key), ...parsePeer(address), path, agent: false }).end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    await expect.poll(() => use().unfinished, { timeout: 30_000 }).toBe(1);
    answer.resume();
    expect(String((await once(answer, 'error'))[0])).toContain('aborted');
    expect(use().bytes).toBe(0);
  });

  it('takes no more connections than it may have', async () => {
    const { address } = await nodes.nodeWith({ maxConnections: 1 }, 'a', blob);
    const first = connect(parsePeer(address)?.port ?? 0, '127.0.0.1');
    nodes.closers.push(() => first.destroy());
    await once(first, 'connect');
    await expect(nodes.ask(address, '/v1/')).rejects.toThrow();
  });

  it('serves blobs, and no paths', async () => {
    const { address } = await nodes.node('a', blob);
    writeFileSync(join(nodes.dir, 'a/blobs/secret'), 'secret');
    const hex = hexOf(digestOf(blob));
    const other = digestOf('other');
    symlinkSync(join(nodes.dir, 'a/blobs/secret'), join(nodes.dir, 'a/blobs/sha256', hexOf(other)));
    writeFileSync(join(nodes.dir, `a/blobs/sha256/.${hex}.part`), 'half');
    const wrong = ['/', '/v1/blobs', '/v1/blobs/', '/v1/blobs/../secret', '/v1/blobs/sha256:../../secret'];
    wrong.push(
      '/v1/blobs/%2e%2e/secret',
      `/v1/blobs/sha256:.${hex}.part`,
      `/v1/blobs/${other}`,
      `/v1/blobs/sha256:${hex}/`,
    );
    for (const path of wrong) expect([path, (await nodes.ask(address, path)).status]).toEqual([path, 404]);
    const path = `/v1/blobs/sha256:${hex}`;
    for (const method of ['PUT', 'POST', 'DELETE', 'HEAD'])
      expect((await nodes.ask(address, path, { method })).status).toBe(405);
    const span = (range: string): RequestOptions => ({ headers: { range } });
    for (const range of ['bytes=3000000-', 'bytes=5-4', 'bytes=-5', 'x'])
      expect([range, (await nodes.ask(address, path, span(range))).status]).toEqual([range, 416]);
    expect(await nodes.ask(address, path, span('bytes=2999990-9999999'))).toEqual({ status: 206, bytes: 10 });
  });

  it.each(['7400', 'a:b:1', '1.2.3.4:99999', 'http://1.2.3.4:1', ''])(
    'cannot listen at "%s"',
    async (listen) => {
      await expect(
        servePeers({ cache: join(nodes.dir, 'a'), key: nodes.keyFile, listen }),
      ).rejects.toMatchObject({
        code: 'ERR_USAGE',
      });
    },
  );

  it('names the address when its port is taken', async () => {
    const { address } = await nodes.node('a');
    const second = servePeers({ cache: join(nodes.dir, 'a'), key: nodes.keyFile, listen: address });
    await expect(second).rejects.toMatchObject({
      code: 'ERR_ENVIRONMENT',
      message: expect.stringContaining(address) as string,
    });
  });

  it.runIf(process.getuid?.() === 0)('does not serve the cache of another user', async () => {
    await nodes.node('a', blob);
    chownSync(join(nodes.dir, 'a'), 12_345, 12_345);
    const served = servePeers({ cache: join(nodes.dir, 'a'), key: nodes.keyFile, listen: '127.0.0.1:0' });
    await expect(served).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });
});

describe('the key', () => {
  it.each([0o640, 0o604, 0o660])('is refused with mode %o', (mode) => {
    chmodSync(nodes.keyFile, mode);
    expect(() => readPeerKey(nodes.keyFile)).toThrow('other users may read or change the key');
  });

  it.runIf(process.getuid?.() === 0)('is refused when another user has it', () => {
    chownSync(nodes.keyFile, 12_345, 12_345);
    expect(() => readPeerKey(nodes.keyFile)).toThrow('belongs to another user');
  });

  it.each(['', 'password', `${'0'.repeat(63)}\n`, `${'0'.repeat(65)}\n`])('is not "%s"', (text) => {
    writeFileSync(nodes.keyFile, text);
    expect(() => readPeerKey(nodes.keyFile)).toThrow('64 hexadecimal digits');
  });

  it('is made as the error says', async () => {
    rmSync(nodes.keyFile);
    const error = await servePeers({
      key: nodes.keyFile,
      listen: '127.0.0.1:0',
      cache: join(nodes.dir, 'a'),
    }).catch((one: unknown) => one);
    const { hint } = error as { hint: string };
    await exec('sh', ['-c', /\(umask .*\)/.exec(hint)?.[0] ?? '']);
    expect(readPeerKey(nodes.keyFile)).toMatch(/^[\da-f]{64}$/);
  });
});
