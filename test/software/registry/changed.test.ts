// SPDX-License-Identifier: MIT
// Files of a checkpoint that change while it is pushed.
import { once } from 'node:events';
import { closeSync, cpSync, openSync, readSync, writeSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { readGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { inspectImage, pushImage } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';

const ARGS = ['--alloc', '8Mx4', '--host', '6M', '--seed', '7'];

/** One checkpoint for all tests; each changes a copy. */
let source: Machine;
let machine: Machine;
let registry: TestRegistry;
let imagesDir: string;
let proxy: Server | undefined;
beforeAll(async () => {
  source = new Machine();
  const workload = await source.start({ args: ARGS, env: { LD_PRELOAD: interceptorLibrary() } });
  const run = await source.dump(workload, { libdir: variantDir('parallel') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
});
afterAll(() => source.close());
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  machine = new Machine();
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  imagesDir = join(machine.dir, 'images');
  cpSync(source.imagesDir, imagesDir, { recursive: true, preserveTimestamps: true });
});
afterEach(async () => {
  proxy?.closeAllConnections();
  proxy?.close();
  proxy = undefined;
  await registry.stop();
  await machine.close();
});

/** Changes a byte of each chunk of device memory, in place. */
async function changeChunks(): Promise<void> {
  for (const { stripes, manifest } of await readGpuImages(imagesDir))
    for (const { zero, stripe, offset } of manifest.chunks) {
      if (zero) continue;
      const file = openSync(join(imagesDir, stripes[stripe]?.name ?? ''), 'r+');
      const byte = Buffer.alloc(1);
      readSync(file, byte, 0, 1, offset);
      writeSync(file, Buffer.from([~byte.readUInt8() & 0xff]), 0, 1, offset);
      closeSync(file);
    }
}

/** A way to the registry. @param before is done before it is asked for this blob */
async function through(digest: string, before: () => Promise<void>): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  proxy = server;
  await once(server, 'listening');
  let changed: Promise<void> | undefined;
  server.on('request', (asked, answer) => {
    const { method = '', url = '', headers } = asked;
    const isAsked = method === 'HEAD' && url.endsWith(digest);
    void (isAsked ? (changed ??= before()) : Promise.resolve()).then(() => {
      const options = { host: '127.0.0.1', port: registry.port, method, path: url, headers };
      const forwarded = request(options, (upstream) => {
        answer.writeHead(upstream.statusCode ?? 502, upstream.headers);
        upstream.pipe(answer);
      });
      forwarded.on('error', () => asked.socket.destroy());
      asked.pipe(forwarded);
    });
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}/m/p:1`;
}

it('a block that changes between its digest and its transfer is not sent, and there is no image', async () => {
  const same = registry.reference('m/same:1');
  await pushImage(source.imagesDir, same);
  const { blocks } = (await inspectImage(same)).description;
  const { digest = '' } = blocks.find(({ kind }) => kind === 'stripe') ?? {};
  const reference = await through(digest, changeChunks);
  await expect(pushImage(imagesDir, reference)).rejects.toMatchObject({
    code: 'ERR_REGISTRY',
    message: `${imagesDir} changed while it was pushed`,
  });
  await expect(inspectImage(registry.reference('m/p:1'))).rejects.toMatchObject({ code: 'ERR_REGISTRY' });
});
