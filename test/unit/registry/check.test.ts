// SPDX-License-Identifier: MIT
// A check that fails ends no process in which the driver still begins: exit() may hang or crash beside cuInit.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { checkImage } from '../../../lib/registry/check.ts';
import { cacheImage, pullImage } from '../../../lib/registry/pull.ts';

const beginning = vi.hoisted(() => ({ end: (): void => undefined, asked: 0 }));
vi.mock('../../../lib/gpu/index.ts', async (original) => ({
  ...(await original<object>()),
  openDriver: () => {
    beginning.asked += 1;
    return new Promise((resolve) => {
      beginning.end = () => {
        resolve({ version: 13_000 });
      };
    });
  },
  listGpus: () => Promise.reject(new Error('NVML does not answer')),
}));
vi.mock('../../../lib/registry/inspect.ts', async (original) => ({
  ...(await original<object>()),
  findImage: () => Promise.reject(new Error('the registry does not answer')),
}));

const REFERENCE = 'registry.example.com/models/llama:1';

let dir: string;
beforeEach(() => {
  beginning.asked = 0;
  dir = mkdtempSync(join(tmpdir(), 'criu-cuda-test-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

/** Whether it has ended. */
function watch(work: Promise<unknown>): { message: string | undefined } {
  const seen: { message: string | undefined } = { message: undefined };
  work.catch((error: unknown) => {
    seen.message = (error as Error).message;
  });
  return seen;
}

async function turns(): Promise<void> {
  for (let nr = 0; nr < 20; nr += 1) await turn();
}

type Work = (options: { cache: string; signal?: AbortSignal }) => Promise<unknown>;
const works: [string, Work][] = [
  ['image check', (options) => checkImage(REFERENCE, options)],
  ['image pull', (options) => pullImage(REFERENCE, join(dir, 'images'), options)],
  ['a restore', (options) => cacheImage(REFERENCE, options)],
];

it.each(works)('%s fails when the driver has begun, and not before', async (_name, work) => {
  const seen = watch(work({ cache: dir }));
  await turns();
  expect(beginning.asked).toBe(1);
  expect(seen.message).toBeUndefined();
  beginning.end();
  await turns();
  expect(seen.message).toBe('the registry does not answer');
});

it('a signal waits for nothing', async () => {
  const stop = new AbortController();
  const seen = watch(checkImage(REFERENCE, { cache: dir, signal: stop.signal }));
  await turns();
  expect(seen.message).toBeUndefined();
  stop.abort();
  await turns();
  expect(seen.message).toBe('the registry does not answer');
});

it('a reference that is none needs no driver', async () => {
  await expect(checkImage('Nothing', { cache: dir })).rejects.toMatchObject({ name: 'UsageError' });
  expect(beginning.asked).toBe(0);
});
