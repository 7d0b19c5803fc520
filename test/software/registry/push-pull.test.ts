// SPDX-License-Identifier: MIT
// A checkpoint goes to a registry and comes back, with nothing of it left on this machine.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { readGpuImages, verifyGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { requireZstd } from '../../../lib/registry/compression/zstd.ts';
import { mediaTypes } from '../../../lib/registry/format.ts';
import { inspectImage, pullImage, pushImage } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { snapshot } from '../../helpers/parallel.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';

const libdir = variantDir('parallel');
const ARGS = ['--alloc', '8Mx3', '--alloc', '1M', '--alloc', '3M', '--host', '6M', '--seed', '7'];

const MARKER = 'a-password-of-the-program';

let machine: Machine;
let registry: TestRegistry;
let cache: string;
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry', 'zstd');
  machine = new Machine();
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  cache = join(machine.dir, 'cache');
});
afterEach(async () => {
  await registry.stop();
  await machine.close();
});

async function dumped(): Promise<{ workload: Workload; before: string }> {
  const workload = await machine.start({
    args: ARGS,
    env: { LD_PRELOAD: interceptorLibrary(), SECRET: MARKER },
  });
  const before = await snapshot(workload);
  const run = await machine.dump(workload, { libdir });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
  return { workload, before };
}

it('a checkpoint that was pushed and removed here is pulled, and restored with the same memory', async () => {
  const { workload, before } = await dumped();
  const reference = registry.reference('models/pattern:warm');
  const pushed = await pushImage(machine.imagesDir, reference);
  expect(pushed).toMatchObject({ reference, isEncrypted: false });
  expect(pushed.warnings).toEqual([expect.stringContaining('the memory and the environment of the program')]);
  const { layers, description } = await inspectImage(reference);
  const small = layers.filter(({ mediaType }) => mediaType === `${mediaTypes.small}+zstd`);
  expect(small.length, "CRIU's images are compressed").toBeGreaterThan(0);
  const plainBytes = description.blocks.reduce(
    (sum, { kind, size }) => sum + (kind === 'small' ? size : 0),
    0,
  );
  expect(small.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(plainBytes / 2);
  expect(layers.filter(({ mediaType }) => mediaType.includes('stripe.v1+'))).toEqual([]);
  const names = readdirSync(machine.imagesDir).filter((name) => /^cuda-\d+\.img$|^pages|^core/.test(name));
  rmSync(machine.imagesDir, { recursive: true });
  mkdirSync(machine.imagesDir);

  const imagesDir = join(machine.dir, 'pulled');
  const pulled = await pullImage(reference, imagesDir, { cache });
  expect(pulled).toMatchObject({ imagesDir, digest: pushed.digest, cachedBytes: 0 });
  expect(pulled.movedBytes).toBe(pushed.storedBytes);
  expect(pulled.movedBlockBytes).toBe(pushed.blockBytes);
  expect(readdirSync(imagesDir)).toEqual(expect.arrayContaining(names));
  for (const image of await verifyGpuImages(imagesDir)) expect(image).toMatchObject({ ok: true });
  const [image] = await readGpuImages(imagesDir);
  for (const { name } of image?.stripes ?? [])
    expect(statSync(join(imagesDir, name)).nlink, 'a stripe is a blob of the cache').toBe(2);

  const restored = await machine.restore({ libdir, imagesDir });
  expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  expect(existsSync(join(machine.imagesDir, 'inventory.img'))).toBe(false);
});

it('all programs that compress blocks at the same time have together no more threads than there are cores', async () => {
  await dumped();
  const bin = join(machine.dir, 'bin');
  const asked = join(machine.dir, 'asked');
  mkdirSync(bin);
  const script = `#!/bin/sh\necho "$*" >> ${asked}\nexec ${requireZstd()} "$@"\n`;
  writeFileSync(join(bin, 'zstd'), script, { mode: 0o755 });
  vi.stubEnv('PATH', `${bin}:${process.env.PATH ?? ''}`);
  await pushImage(machine.imagesDir, registry.reference('m/p:1')).finally(() => vi.unstubAllEnvs());
  const threads = [...readFileSync(asked, 'utf8').matchAll(/ -T(\d+) /g)].map(([, nr]) => Number(nr));
  expect(threads.length).toBeGreaterThan(0);
  const cores = availableParallelism();
  for (const nr of threads) {
    expect(nr).toBeGreaterThan(0); // 0 means all cores
    expect(nr * Math.min(12, cores)).toBeLessThanOrEqual(cores);
  }
});

it('an encrypted image is read only with the private key', async (context) => {
  needPrograms(context, 'age');
  const { before, workload } = await dumped();
  const [key, otherKey] = [join(machine.dir, 'key'), join(machine.dir, 'other-key')];
  for (const path of [key, otherKey]) await exec('age-keygen', ['--output', path]);
  const [recipient = ''] = /age1\w+/.exec(readFileSync(key, 'utf8')) ?? [];
  const [plain, secret] = [registry.reference('m/plain:1'), registry.reference('m/secret:1')];
  /** How often the registry has the words, which are in the environment of the program; blobs may be compressed. */
  const readable = async (): Promise<number> => {
    const storage = join(machine.dir, 'registry/storage');
    const read = `find ${storage} -name data -exec zstd -dcfq {} + | grep -aoF ${MARKER} | wc -l`;
    return Number((await exec('sh', ['-c', read])).stdout);
  };
  const pushed = await pushImage(machine.imagesDir, secret, { recipients: [recipient] });
  expect(pushed.isEncrypted).toBe(true);
  expect(await readable()).toBe(0);
  await pushImage(machine.imagesDir, plain);
  expect(await readable(), 'without a key, they are there').toBeGreaterThan(0);
  const { description } = await inspectImage(secret);
  expect(description).toMatchObject({ isEncrypted: true, files: [], blocks: [] });
  expect(description.stack.gpus).toHaveLength(1);

  const imagesDir = join(machine.dir, 'pulled');
  await expect(pullImage(secret, imagesDir, { cache })).rejects.toMatchObject({ code: 'ERR_USAGE' });
  await expect(pullImage(secret, imagesDir, { cache, identity: otherKey })).rejects.toMatchObject({
    code: 'ERR_REGISTRY_IMAGE',
    message: expect.stringContaining('cannot decrypt') as string,
  });
  expect(existsSync(imagesDir)).toBe(false);
  await pullImage(secret, imagesDir, { cache, identity: key });
  expect(readdirSync(cache).filter((name) => name.startsWith('pull-'))).toEqual([]);
  const restored = await machine.restore({ libdir, imagesDir });
  expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
});

it('a page of criu-cuda image inspect says what an image needs', async () => {
  await dumped();
  const reference = registry.reference('models/pattern:warm');
  await pushImage(machine.imagesDir, reference);
  const command = [join(projectRoot, 'dist/cli.js'), 'image', 'inspect', reference];
  const { stdout } = await exec(process.execPath, command);
  expect(stdout).toContain(`${reference}@sha256:`);
  expect(stdout).toMatch(/GPU +softcuda software device 0, 28 MiB of its memory/);
  expect(stdout).toMatch(/plugin +\d+\.\d+\.\d+, variant full or parallel/);
});

it.each([
  ['no registry', 'models/llama:1'],
  ['an upper-case repository', 'example.com/Models:1'],
  ['a digest', `127.0.0.1:1/m/p@sha256:${'0'.repeat(64)}`],
])('a push to a reference with %s is refused', async (_name, reference) => {
  await expect(pushImage(machine.imagesDir, reference)).rejects.toMatchObject({ code: 'ERR_USAGE' });
});
