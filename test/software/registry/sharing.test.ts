// SPDX-License-Identifier: MIT
// Images that have the same weights: what they share is stored once, and moved once.
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { verifyGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { inspectImage, pullImage, pushImage } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine } from '../../helpers/machine.ts';
import { snapshot } from '../../helpers/parallel.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';

const MIB = 2 ** 20;

let machine: Machine;
let registry: TestRegistry;
let cache: string;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  // a helper may still hold the memory of the first program when the second one starts
  machine = new Machine({ SOFTCUDA_MEMORY_MB: '512' });
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  cache = join(machine.dir, 'cache');
});
afterEach(async () => {
  await registry.stop();
  await machine.close();
});

async function dumpTo(name: string, ...more: string[]): Promise<string> {
  const args = ['--alloc', '8Mx20', ...more, '--seed', '7'];
  const workload = await machine.start({ args, env: { LD_PRELOAD: interceptorLibrary() } });
  const imagesDir = join(machine.dir, name);
  mkdirSync(imagesDir);
  const run = await machine.dump(workload, { libdir: variantDir('parallel'), imagesDir });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
  return imagesDir;
}

const storedOnDisk = (digests: readonly string[]): number =>
  digests.reduce((sum, digest) => sum + statSync(registry.blobPath(digest)).size, 0);

it('a second image with the same 160 MiB of weights moves only what differs', async () => {
  const [first, second] = [await dumpTo('a'), await dumpTo('b', '--alloc', '4Mx2')];
  const pushed = await pushImage(first, registry.reference('m/base:1'));
  const { storedBytes } = await pushImage(second, registry.reference('m/tuned:1'));
  expect(pushed.storedBytes).toBeGreaterThan(160 * MIB);
  expect(storedOnDisk([pushed.digest])).toBeGreaterThan(0);

  const one = await pullImage(registry.reference('m/base:1'), join(machine.dir, 'base'), { cache });
  expect(one.movedBytes).toBe(pushed.storedBytes);
  const before = await registry.asked();
  const other = await pullImage(registry.reference('m/tuned:1'), join(machine.dir, 'tuned'), { cache });
  expect(other.movedBytes + other.cachedBytes).toBe(storedBytes);
  // the last block of the weights may have what comes after them
  expect(other.cachedBytes).toBeGreaterThan(100 * MIB);
  expect(await registry.sentBytes(before)).toBeLessThan(other.movedBytes + MIB);
  for (const image of await verifyGpuImages(join(machine.dir, 'tuned')))
    expect(image).toMatchObject({ ok: true });
});

it('a push of what is there already sends nothing, and gives the same blocks', async () => {
  const imagesDir = await dumpTo('a');
  const reference = registry.reference('m/base:1');
  const first = await pushImage(imagesDir, reference);
  const before = await registry.asked();
  const again = await pushImage(imagesDir, reference);
  expect(again).toEqual(first);
  const uploads = (await registry.answered(before)).filter(({ method }) => method === 'POST');
  expect(uploads).toEqual([]);
});

it('an image that was pulled is pushed with the same blocks', async () => {
  const imagesDir = await dumpTo('a');
  const first = await pushImage(imagesDir, registry.reference('m/base:1'));
  rmSync(imagesDir, { recursive: true });
  const pulled = join(machine.dir, 'pulled');
  await pullImage(registry.reference('m/base:1'), pulled, { cache });
  const before = await registry.asked();
  const second = await pushImage(pulled, registry.reference('m/base:2'));
  expect(second.blocks).toBe(first.blocks);
  const uploads = (await registry.answered(before)).filter(({ method }) => method === 'POST');
  // the description and the small files, which name their directory
  expect(uploads).toHaveLength(2);
});

it('a dump against an earlier checkpoint is pushed as a full one is, without what is only in shared files', async () => {
  const libdir = variantDir('parallel');
  const workload = await machine.start({
    args: ['--alloc', '8Mx20', '--seed', '7'],
    env: { LD_PRELOAD: interceptorLibrary() },
  });
  const before = await snapshot(workload);
  const dump = async (name: string, env: Record<string, string>, ...args: string[]): Promise<string> => {
    const imagesDir = join(machine.dir, name);
    mkdirSync(imagesDir);
    const run = await machine.dump(workload, { libdir, imagesDir, env, args });
    expect(run.exitCode, run.log.slice(-2000)).toBe(0);
    return imagesDir;
  };
  const first = await dump('a', {}, '--leave-running');
  await workload.ask('poke 3 0');
  const delta = await dump('b', { CRIU_CUDA_PREV_IMAGES_DIR: first }, '--leave-running');
  const full = await dump('c', {});
  const blocksOf = async (imagesDir: string, tag: string): Promise<string[]> => {
    await pushImage(imagesDir, registry.reference(`m/base:${tag}`));
    const { layers } = await inspectImage(registry.reference(`m/base:${tag}`));
    return layers.filter(({ mediaType }) => mediaType.includes('stripe')).map(({ digest }) => digest);
  };
  const blocks = await blocksOf(delta, 'delta');
  expect(blocks).toEqual(await blocksOf(full, 'full'));
  expect(storedOnDisk(blocks)).toBe(160 * MIB);
  for (const dir of [first, delta, full]) rmSync(dir, { recursive: true });

  const imagesDir = join(machine.dir, 'pulled');
  await pullImage(registry.reference('m/base:delta'), imagesDir, { cache });
  for (const image of await verifyGpuImages(imagesDir)) expect(image).toMatchObject({ ok: true });
  const restored = await machine.restore({ libdir, imagesDir });
  expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
  await workload.ask('poke 3 0');
  expect(await snapshot(workload)).toBe(before);
});
