// SPDX-License-Identifier: MIT
// Files of a checkpoint that change while it is pushed, or between two pushes; what a second push reads.
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { readGpuImages, verifyGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { mediaTypes } from '../../../lib/registry/format.ts';
import { inspectImage, pullImage, pushImage, type PushResult } from '../../../lib/registry/index.ts';
import { readContents } from '../../../lib/registry/push/contents.ts';
import { identityOf } from '../../../lib/registry/push/remembered.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { waitUntil } from '../../helpers/wait.ts';

const ARGS = ['--alloc', '8Mx4', '--host', '6M', '--seed', '7'];
const DEVICE_BYTES = 32 * 2 ** 20;

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

/** A push of now is remembered: a change of a file that soon after the last one could be missed. */
const settled = (): Promise<unknown> =>
  waitUntil(async () => identityOf(imagesDir, await readContents(imagesDir)).isSettled);

/** Bytes that this process reads meanwhile. */
async function readBytes(work: () => Promise<unknown>): Promise<number> {
  const read = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
  const before = read();
  await work();
  return read() - before;
}

/** A way to the registry. @param before is done before it gets such a request, of a path that ends so */
async function through(method: string, end: string, before: () => Promise<void>): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  proxy = server;
  await once(server, 'listening');
  let changed: Promise<void> | undefined;
  server.on('request', (asked, answer) => {
    const { url = '', headers } = asked;
    const isAsked = asked.method === method && url.endsWith(end);
    void (isAsked ? (changed ??= before()) : Promise.resolve()).then(() => {
      const options = { host: '127.0.0.1', port: registry.port, method: asked.method, path: url, headers };
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
  const reference = await through('HEAD', digest, changeChunks);
  await expect(pushImage(imagesDir, reference)).rejects.toMatchObject({
    code: 'ERR_REGISTRY',
    message: `${imagesDir} changed while it was pushed`,
  });
  await expect(inspectImage(registry.reference('m/p:1'))).rejects.toMatchObject({ code: 'ERR_REGISTRY' });
});

it('a directory that is removed as soon as it is pushed was pushed', async () => {
  await settled();
  const reference = await through('PUT', '/manifests/1', async () => rm(imagesDir, { recursive: true }));
  const { digest } = await pushImage(imagesDir, reference);
  expect(await inspectImage(registry.reference('m/p:1'))).toMatchObject({ digest });
});

it('a second push reads no device memory, as long as the registry has the blocks', async () => {
  await settled();
  const reference = registry.reference('m/p:1');
  let first: PushResult | undefined;
  const push = async (verify?: boolean): Promise<void> => {
    const pushed = await pushImage(imagesDir, reference, { verify });
    first ??= pushed;
    expect(pushed).toEqual(first);
  };
  expect(await readBytes(push)).toBeGreaterThan(DEVICE_BYTES);
  expect(await readBytes(push)).toBeLessThan(DEVICE_BYTES / 2);
  expect(await readBytes(() => push(true))).toBeGreaterThan(DEVICE_BYTES);

  const { layers } = await inspectImage(reference);
  const stripe = layers.find(({ mediaType }) => mediaType === mediaTypes.stripe);
  rmSync(registry.blobPath(stripe?.digest ?? ''));
  const before = await registry.asked();
  await push();
  const uploads = (await registry.answered(before)).filter(({ method }) => method === 'POST');
  expect(uploads, 'only what is missing is sent').toHaveLength(1);
  const pulled = join(machine.dir, 'pulled');
  await pullImage(reference, pulled, { cache: join(machine.dir, 'cache') });
  for (const image of await verifyGpuImages(pulled)) expect(image).toMatchObject({ ok: true });
});

it('a file that was changed in place is pushed as it is now, also when its time is that of before', async () => {
  await settled();
  const reference = registry.reference('m/p:1');
  const stripes = async (): Promise<string[]> =>
    (await inspectImage(reference)).layers.flatMap(({ mediaType, digest }) =>
      mediaType === mediaTypes.stripe ? [digest] : [],
    );
  await pushImage(imagesDir, reference);
  const before = await stripes();
  const times = readdirSync(imagesDir).map((name) => {
    const path = join(imagesDir, name);
    const { atime, mtime } = statSync(path);
    utimesSync(path, atime, mtime); // without the nanoseconds, which cannot be set
    return { path, atime, mtime };
  });
  await settled();
  await pushImage(imagesDir, reference);
  expect(await stripes()).toEqual(before);
  await changeChunks();
  for (const { path, atime, mtime } of times) utimesSync(path, atime, mtime);
  await pushImage(imagesDir, reference);
  const after = await stripes();
  expect(after).toHaveLength(before.length);
  expect(after.filter((digest) => before.includes(digest))).toEqual([]);
});
