// SPDX-License-Identifier: MIT
// Making an images directory of blocks while they arrive.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ImageCache } from '../../../lib/registry/cache.ts';
import { mediaTypes, type BlockKind, type Description } from '../../../lib/registry/format.ts';
import { compressFile } from '../../../lib/registry/compression/zstd.ts';
import { assemble } from '../../../lib/registry/directory/assemble.ts';
import { Limiter } from '../../../lib/registry/directory/limiter.ts';
import { ArrivingImage, LAST_BYTES, type StripeReceiver } from '../../../lib/registry/directory/stream.ts';

const SIZE = 1000;

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
});
afterEach(() => {
  rmSync(top, { recursive: true });
});

/** An image of two files, both of whose blocks are in the cache. */
function twoBlocks(cache: ImageCache): Description {
  const kinds: BlockKind[] = ['small', 'pages'];
  const blocks = kinds.map((kind, file) => {
    const bytes = Buffer.alloc(SIZE, kind);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const digest = `sha256:${sha256}`;
    writeFileSync(cache.blobPath(digest), bytes);
    return { kind, digest, size: SIZE, pieces: [{ offset: 0, length: SIZE, sha256, file, at: 0 }] };
  });
  return {
    ...{ schemaVersion: 1, tool: '1.0.0', created: '2026-01-01T00:00:00Z', isEncrypted: false, blocks },
    files: kinds.map((name) => ({ name, size: SIZE, mode: 0o600, modified: 1 })),
    stack: {
      ...{ driver: null, gpus: [], architecture: 'x86_64', kernel: null, criu: null, cpu: null },
      ...{ plugin: null, variants: null, interceptor: null, protocol: null, processes: 1 },
    },
  };
}

it.each([false, true])('blocks that wait are added, unless the pull is stopped: %s', async (isStopped) => {
  const cache = new ImageCache({ cache: join(top, 'cache') });
  const description = twoBlocks(cache);
  const layers = description.blocks.map(({ kind, digest, size }) => ({
    ...{ mediaType: mediaTypes[kind], digest, size },
  }));
  const dir = join(top, 'images');
  mkdirSync(dir);
  let isSettled = false;
  const arriving = new ArrivingImage({
    ...{ cache, description, layers, dir, mayRestore: true, onFailure: () => undefined },
    findBlock: ({ kind, digest }) => {
      if (isStopped && kind === 'pages') arriving.stop(new Error('stopped'));
      return { path: cache.blobPath(digest), digest, isCompressed: false };
    },
    receive: () => Promise.resolve(undefined),
    settle: () => {
      isSettled = true;
      return Promise.resolve();
    },
  });
  arriving.begin(layers);
  const ended = arriving.end();
  await (isStopped ? expect(ended).rejects.toThrow('stopped') : ended);
  await arriving.close();
  expect(isSettled).toBe(!isStopped);
  expect(readFileSync(join(dir, 'pages')).equals(Buffer.alloc(SIZE))).toBe(isStopped);
});

/** An image with two stripes, of which one may be missing when it is restored. */
function restorable(mayRestore: boolean, restore: NonNullable<StripeReceiver['restore']>) {
  const cache = new ImageCache({ cache: join(top, 'cache') });
  const { blocks, files, ...rest } = twoBlocks(cache);
  const stripes = ['first', 'last'].map((name, index) => {
    const digest = `sha256:${createHash('sha256').update(name).digest('hex')}`;
    writeFileSync(cache.blobPath(digest), name);
    files.push({ name, size: LAST_BYTES, mode: 0o600, modified: 1, block: blocks.length + index });
    return { kind: 'stripe' as const, digest, size: LAST_BYTES, pieces: [] };
  });
  const description = { ...rest, files, blocks: [...blocks, ...stripes] };
  const layers = description.blocks.map(({ kind, digest, size }) => ({
    ...{ mediaType: mediaTypes[kind], digest, size },
  }));
  const dir = join(top, 'images');
  mkdirSync(dir);
  const events: string[] = [];
  const receiver: StripeReceiver = {
    arrived: (name) => void events.push(name),
    failed: new Promise<never>(() => undefined),
    restore: (signal) => {
      events.push('restore');
      return restore(signal).finally(() => events.push('restored'));
    },
  };
  const arriving = new ArrivingImage({
    ...{ cache, description, layers, dir, mayRestore, onFailure: () => undefined },
    findBlock: ({ digest }) => ({ path: cache.blobPath(digest), digest, isCompressed: false }),
    receive: () => Promise.resolve(receiver),
    settle: () => {
      events.push('settled');
      return Promise.resolve();
    },
  });
  return { arriving, events, layers };
}

it.each([
  [true, ['first', 'restore', 'last', 'restored', 'settled']],
  [false, ['first', 'last', 'settled']],
])('a restore may begin before the last stripes have come: %s', async (mayRestore, expected) => {
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const { arriving, events, layers } = restorable(mayRestore, () => finished);
  const last = layers.at(-1);
  if (!last) throw new Error('no layer');
  arriving.begin(layers.slice(0, -1));
  await expect.poll(() => events).toEqual(expected.slice(0, mayRestore ? 2 : 1));
  arriving.arrived(last);
  const ended = arriving.end();
  await expect.poll(() => events).toContain('last');
  finish();
  await ended;
  await arriving.close();
  expect(events).toEqual(expected);
});

it('a pull that fails ends the restore first', async () => {
  const { arriving, events, layers } = restorable(
    true,
    (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          resolve();
        });
      }),
  );
  arriving.begin(layers.slice(0, -1));
  await expect.poll(() => events).toContain('restore');
  arriving.stop(new Error('stopped'));
  await arriving.close();
  expect(events).toEqual(['first', 'restore', 'restored']);
});

it('an image to which a block was not added does not get its name', async () => {
  const { arriving, events, layers } = restorable(false, () => Promise.resolve());
  arriving.begin(layers.slice(0, -1));
  await expect(arriving.end()).rejects.toThrow('not put together from all of its blocks');
  await arriving.close();
  expect(events).toEqual(['first']);
});

it('host memory is written several blocks at a time, and equal blocks each to their place', async () => {
  const cache = new ImageCache({ cache: join(top, 'cache') });
  const { stack, ...rest } = twoBlocks(cache);
  const pages = rest.blocks.slice(1);
  const [first] = pages;
  if (!first) throw new Error('no block');
  const blocks = Array.from({ length: 12 }, (_, at) => ({
    ...first,
    pieces: first.pieces.map((piece) => ({ ...piece, file: 0, at: at * SIZE })),
  }));
  const files = [{ name: 'pages', size: blocks.length * SIZE, mode: 0o600, modified: 1 }];
  const plain = join(top, 'plain');
  const path = join(top, 'compressed');
  writeFileSync(plain, readFileSync(cache.blobPath(first.digest)));
  await compressFile(plain, path, undefined);
  const dir = join(top, 'images');
  mkdirSync(dir);
  await assemble(
    { ...rest, stack, blocks, files },
    dir,
    ({ digest }) => ({ path, digest, isCompressed: true }),
    undefined,
  );
  const written = readFileSync(join(dir, 'pages'));
  for (const { pieces } of blocks)
    for (const { at } of pieces)
      expect(written.subarray(at, at + SIZE).equals(Buffer.alloc(SIZE, 'pages'))).toBe(true);
  expect(readdirSync(dir)).toEqual(['pages']);
});

it('only so much work is done at the same time, and all of it has ended when one part has failed', async () => {
  const limiter = new Limiter(2);
  let [now, most, done] = [0, 0, 0];
  for (let nr = 0; nr < 7; nr += 1)
    limiter
      .run(async () => {
        most = Math.max(most, (now += 1));
        await turn();
        now -= 1;
        done += 1;
        if (nr === 3) throw new Error('the fourth');
      })
      .catch(() => undefined);
  await expect(limiter.ended()).rejects.toThrow('the fourth');
  expect([now, most, done]).toEqual([0, 2, 7]);
});
