// SPDX-License-Identifier: MIT
// Making an images directory of blocks while they arrive.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ImageCache } from '../../../lib/registry/cache.ts';
import { mediaTypes, type BlockKind, type Description } from '../../../lib/registry/format.ts';
import { ArrivingImage } from '../../../lib/registry/stream.ts';

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
    ...{ cache, description, layers, dir, onFailure: () => undefined },
    findBlock: ({ digest }) => ({ path: cache.blobPath(digest), digest, isCompressed: false }),
    receive: () => {
      if (isStopped) arriving.stop(new Error('stopped'));
      return Promise.resolve(undefined);
    },
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
  expect(readFileSync(join(dir, 'small'), 'latin1')).toContain('small');
  expect(readFileSync(join(dir, 'pages')).equals(Buffer.alloc(SIZE))).toBe(isStopped);
});
