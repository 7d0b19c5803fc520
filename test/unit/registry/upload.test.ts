// SPDX-License-Identifier: MIT
// What a push sends to a registry by its own connections, and what it leaves to skopeo.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blobOfFile, Uploader, type SentBlob } from '../../../lib/registry/push/upload.ts';

const BYTES = Buffer.alloc(3_000_000, 'a block of a program');
const DIGEST = `sha256:${createHash('sha256').update(BYTES).digest('hex')}`;
const AUTHORIZATION = 'Basic eDp5';

let dir: string;
let path: string;
let blob: SentBlob;
const servers: Server[] = [];
const uploaders: Uploader[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
  path = join(dir, 'block');
  blob = blobOfFile(path, DIGEST, BYTES.length);
  writeFileSync(path, BYTES);
});
afterEach(async () => {
  for (const one of uploaders.splice(0)) one.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
  rmSync(dir, { recursive: true });
});

/** A registry: what it was asked, and what it has got. */
class Registry {
  readonly asked: string[] = [];
  readonly authorizations = new Set<string | undefined>();
  got = Buffer.alloc(0);
  has = false;
  /** Takes the place of its answer; `undefined`: it has none for this request. */
  instead: (method: string, answer: ServerResponse, nr: number) => boolean = () => false;
  location = (): string => '/upload/here?state=x';
  origin = '';

  async start(): Promise<this> {
    const server = createServer((request, answer) => void this.#answer(request, answer)).listen(
      0,
      '127.0.0.1',
    );
    servers.push(server);
    await once(server, 'listening');
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  async #answer(request: IncomingMessage, answer: ServerResponse): Promise<void> {
    const { method = '', url = '', headers } = request;
    this.asked.push(`${method} ${url}`);
    this.authorizations.add(headers.authorization);
    const nr = this.asked.filter((one) => one.startsWith(method)).length;
    if (this.instead(method, answer, nr)) return;
    if (method === 'HEAD') answer.writeHead(this.has ? 200 : 404, { 'content-length': BYTES.length }).end();
    else if (method === 'POST') answer.writeHead(202, { location: this.location() }).end();
    else {
      this.got = await buffer(request).catch(() => Buffer.alloc(0));
      answer.writeHead(this.got.equals(BYTES) ? 201 : 400).end();
    }
  }

  send(): Promise<boolean> {
    const uploader = new Uploader({
      ...{ kind: 'http', name: 'x', origin: this.origin, repository: 'm/p', ca: undefined },
      ...{ authorization: AUTHORIZATION, plainTo: 'loopback' },
    });
    uploaders.push(uploader);
    return uploader.send(blob);
  }
}

const refuse =
  (refused: string, status: number, most = Infinity) =>
  (method: string, answer: ServerResponse, nr: number): boolean => {
    if (method !== refused || nr > most) return false;
    answer.writeHead(status).end();
    return true;
  };

it('all bytes of a blob are sent, with the password, to the place that the registry names', async () => {
  const registry = await new Registry().start();
  expect(await registry.send()).toBe(true);
  expect(registry.got.equals(BYTES)).toBe(true);
  expect(registry.asked).toEqual([
    `HEAD /v2/m/p/blobs/${DIGEST}`,
    'POST /v2/m/p/blobs/uploads/',
    `PUT /upload/here?state=x&digest=${encodeURIComponent(DIGEST)}`,
  ]);
  expect([...registry.authorizations]).toEqual([AUTHORIZATION]);
});

it('what the registry has is not sent', async () => {
  const registry = await new Registry().start();
  registry.has = true;
  expect(await registry.send()).toBe(true);
  expect(registry.asked).toHaveLength(1);
});

it('nothing is sent to another host', async () => {
  const [registry, other] = [await new Registry().start(), await new Registry().start()];
  registry.location = () => `${other.origin}/upload`;
  expect(await registry.send()).toBe(false);
  expect(other.asked).toEqual([]);
});

it.each([
  ['HEAD', 401],
  ['POST', 401],
  ['POST', 404],
  ['PUT', 413],
  ['PUT', 202],
])('a registry that answers %s with %i is left to skopeo', async (method, status) => {
  const registry = await new Registry().start();
  registry.instead = refuse(method, status);
  expect(await registry.send()).toBe(false);
});

it.each([
  ['HEAD', 503],
  ['POST', 429],
  ['PUT', 500],
])('a registry that answers %s with %i once is asked again', async (method, status) => {
  const registry = await new Registry().start();
  registry.instead = refuse(method, status, 1);
  expect(await registry.send()).toBe(true);
  expect(registry.got.equals(BYTES)).toBe(true);
});

it('a connection that breaks off in the middle: all of it is sent again', async () => {
  const registry = await new Registry().start();
  registry.instead = (method, answer, nr) => {
    if (method !== 'PUT' || nr > 1) return false;
    answer.req.once('data', () => answer.destroy());
    return true;
  };
  expect(await registry.send()).toBe(true);
  expect(registry.got.equals(BYTES)).toBe(true);
});

it('a registry that ends, and a file that is not there any more, are left to skopeo', async () => {
  const registry = await new Registry().start();
  registry.instead = (_, answer) => {
    answer.destroy();
    return true;
  };
  expect(await registry.send()).toBe(false);
  rmSync(path);
  registry.instead = () => false;
  expect(await registry.send()).toBe(false);
});
