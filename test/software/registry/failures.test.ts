// SPDX-License-Identifier: MIT
// A registry that ends in the middle, has other bytes than it should or refuses; too little room; another user.
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { exec, execResult } from '../../../lib/exec.ts';
import { verifyGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { mediaTypes } from '../../../lib/registry/format.ts';
import { inspectImage, pullImage, pushImage } from '../../../lib/registry/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { FailingProxy } from '../../helpers/failing-proxy.ts';
import { Machine } from '../../helpers/machine.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { waitUntil } from '../../helpers/wait.ts';

/** 128 MiB of device memory, in several blocks. */
const ARGS = ['--alloc', '8Mx16', '--host', '6M', '--seed', '7'];
/** Hash of "secret". */
const PASSWORD = 'reader:$2b$04$4ixWpUL79Il90Vf78K5tE.TWfPliWTP7nDZnIW1sseytPAsGecgJq\n';
const TIMEOUT_MS = 120_000;

/** One checkpoint for all tests; none changes it. */
let source: Machine;
let machine: Machine;
let registry: TestRegistry;
let proxy: FailingProxy | undefined;
let cache: string;
let imagesDir: string;
beforeAll(async () => {
  source = new Machine();
  const workload = await source.start({ args: ARGS, env: { LD_PRELOAD: interceptorLibrary() } });
  const run = await source.dump(workload, { libdir: variantDir('parallel') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
});
afterAll(() => source.close());
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry', 'zstd');
  machine = new Machine();
  registry = await TestRegistry.start(join(machine.dir, 'registry'));
  cache = join(machine.dir, 'cache');
  imagesDir = join(machine.dir, 'pulled');
});
afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
  await registry.stop();
  await machine.close();
});

const blobsIn = (dir: string): string[] => {
  const blobs = join(dir, 'blobs/sha256');
  return existsSync(blobs) ? readdirSync(blobs) : [];
};

/** Nothing of a pull is left but whole blobs. */
function expectNothingHalf(): void {
  expect(existsSync(imagesDir)).toBe(false);
  const names = readdirSync(machine.dir).filter((name) => name.includes('pull'));
  expect(names).toEqual([]);
  if (existsSync(cache)) expect(readdirSync(cache).filter((name) => name.startsWith('pull'))).toEqual([]);
}

async function expectWhole(dir: string): Promise<void> {
  for (const image of await verifyGpuImages(dir)) expect(image).toMatchObject({ ok: true });
}

it('a blob that has changed in the registry is refused by its digest', async () => {
  const reference = registry.reference('m/p:1');
  await pushImage(source.imagesDir, reference);
  const { layers } = await inspectImage(reference);
  const [largest] = layers.toSorted((a, b) => b.size - a.size);
  const digest = largest?.digest ?? '';
  const file = openSync(registry.blobPath(digest), 'r+');
  writeSync(file, 'changed', 1_000_000);
  closeSync(file);
  await expect(pullImage(reference, imagesDir, { cache })).rejects.toMatchObject({
    code: 'ERR_REGISTRY_IMAGE',
    message: expect.stringContaining(digest) as string,
  });
  expectNothingHalf();
  expect(blobsIn(cache)).not.toContain(digest.slice(7));
  // a pushed one is there already, as far as the registry knows: it has to be removed first
  rmSync(registry.blobPath(digest));
  await pushImage(source.imagesDir, reference);
  await pullImage(reference, imagesDir, { cache });
  await expectWhole(imagesDir);
});

it('a blob that is shorter than it was is refused', async () => {
  const reference = registry.reference('m/p:1');
  await pushImage(source.imagesDir, reference);
  const { layers } = await inspectImage(reference);
  truncateSync(registry.blobPath(layers.at(-1)?.digest ?? ''), 1);
  await expect(pullImage(reference, imagesDir, { cache })).rejects.toMatchObject({
    message: expect.stringMatching(/^cannot pull /) as string,
  });
  expectNothingHalf();
});

it('a block that has changed in the cache is not restored: with --verify it is moved again', async () => {
  const reference = registry.reference('m/p:1');
  await pushImage(source.imagesDir, reference);
  await pullImage(reference, imagesDir, { cache });
  const { layers } = await inspectImage(reference);
  const stripe = layers.find(({ mediaType }) => mediaType === mediaTypes.stripe);
  // compressed bytes that are others may also make a file that is too large
  const small = layers.find(({ mediaType }) => mediaType === `${mediaTypes.small}+zstd`);
  for (const layer of [stripe, small]) {
    const path = join(cache, 'blobs/sha256', layer?.digest.slice(7) ?? '');
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(~bytes.readUInt32LE(100) >>> 0, 100);
    rmSync(path);
    writeFileSync(path, bytes);
  }
  const second = join(machine.dir, 'second');
  await expect(pullImage(reference, second, { cache })).rejects.toMatchObject({
    code: 'ERR_REGISTRY_IMAGE',
    message: expect.stringContaining(`block ${small?.digest ?? ''}`) as string,
  });
  expect(existsSync(second)).toBe(false);
  const { movedBytes } = await pullImage(reference, second, { cache, verify: true });
  expect(movedBytes).toBe((stripe?.size ?? 0) + (small?.size ?? 0));
  await expectWhole(second);
});

it(
  'a registry that is killed in the middle of a pull: the next one moves only what is missing',
  async () => {
    const reference = registry.reference('m/p:1');
    const { storedBytes } = await pushImage(source.imagesDir, reference);
    proxy = await FailingProxy.start(registry.port, async () => {
      await waitUntil(() => blobsIn(cache).length > 0);
      await registry.stop();
    });
    const through = reference.replace(String(registry.port), String(proxy.port));
    proxy.allowed = 3; // the description, and two blocks
    await expect(pullImage(through, imagesDir, { cache })).rejects.toMatchObject({ code: 'ERR_REGISTRY' });
    expect(proxy.isBroken).toBe(true);
    expectNothingHalf();
    await registry.run();
    proxy.mend();
    const pulled = await pullImage(through, imagesDir, { cache });
    expect(pulled.cachedBytes).toBeGreaterThan(0);
    expect(pulled.movedBytes + pulled.cachedBytes).toBe(storedBytes);
    await expectWhole(imagesDir);
  },
  TIMEOUT_MS,
);

it(
  'a registry that is killed in the middle of a push has no image; the next push completes it',
  async () => {
    proxy = await FailingProxy.start(registry.port, () => registry.stop());
    const reference = `127.0.0.1:${proxy.port}/m/p:1`;
    proxy.allowed = 1;
    const before = readdirSync('/tmp').filter((name) => name.startsWith('criu-cuda-push-'));
    await expect(pushImage(source.imagesDir, reference)).rejects.toMatchObject({ code: 'ERR_REGISTRY' });
    expect(proxy.isBroken).toBe(true);
    const after = readdirSync('/tmp').filter((name) => name.startsWith('criu-cuda-push-'));
    expect(after.filter((name) => !before.includes(name))).toEqual([]);
    await registry.run();
    proxy.mend();
    await expect(inspectImage(reference)).rejects.toMatchObject({ code: 'ERR_REGISTRY' });
    await pushImage(source.imagesDir, reference);
    await pullImage(reference, imagesDir, { cache });
    await expectWhole(imagesDir);
  },
  TIMEOUT_MS,
);

it('wrong and missing credentials, and the right ones', async () => {
  const dir = join(machine.dir, 'private');
  mkdirSync(dir);
  writeFileSync(join(dir, 'passwords'), PASSWORD);
  const guarded = await TestRegistry.start(
    dir,
    `auth: {htpasswd: {realm: test, path: ${join(dir, 'passwords')}}}`,
  );
  try {
    const reference = guarded.reference('m/p:1');
    const authFile = join(dir, 'auth.json');
    const write = (password: string): void => {
      const auth = Buffer.from(`reader:${password}`).toString('base64');
      writeFileSync(authFile, JSON.stringify({ auths: { [`127.0.0.1:${guarded.port}`]: { auth } } }));
    };
    write('wrong');
    for (const options of [{}, { authFile }])
      await expect(pushImage(source.imagesDir, reference, options)).rejects.toMatchObject({
        code: 'ERR_REGISTRY',
        hint: expect.stringContaining('skopeo login') as string,
      });
    write('secret');
    await pushImage(source.imagesDir, reference, { authFile });
    expect((await inspectImage(reference, { authFile })).description.files.length).toBeGreaterThan(10);
  } finally {
    await guarded.stop();
  }
});

it.each([
  [
    'a repository that is not there',
    (port: number) => `127.0.0.1:${port}/nothing/here:1`,
    /manifest unknown|name unknown/,
  ],
  ['a registry that does not answer', () => '127.0.0.1:9/m/p:1', /refused/],
])('%s', async (_name, reference, message) => {
  await expect(pullImage(reference(registry.port), imagesDir, { cache })).rejects.toMatchObject({
    code: 'ERR_REGISTRY',
    message: expect.stringMatching(message) as string,
  });
  expectNothingHalf();
});

it('an image of something else is refused', async () => {
  const reference = registry.reference('other/thing:1');
  const layout = join(machine.dir, 'other');
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const blob = async (text: string): Promise<{ digest: string; size: number }> => {
    writeFileSync(join(layout, 'blob'), text);
    const { stdout } = await exec('sha256sum', [join(layout, 'blob')]);
    const hex = stdout.slice(0, 64);
    writeFileSync(join(layout, 'blobs/sha256', hex), text);
    return { digest: `sha256:${hex}`, size: text.length };
  };
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', ...(await blob('{}')) };
  const manifest = await blob(JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [] }));
  writeFileSync(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(layout, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: type, ...manifest }] }),
  );
  const words = ['--insecure-policy', 'copy', '--dest-tls-verify=false'];
  await exec('skopeo', [...words, `oci:${layout}`, `docker://${reference}`]);
  await expect(pullImage(reference, imagesDir, { cache })).rejects.toMatchObject({
    code: 'ERR_REGISTRY_IMAGE',
    message: `${reference} is not a checkpoint of criu-cuda`,
  });
});

it('too little room is found before anything is moved', async () => {
  const reference = registry.reference('m/p:1');
  await pushImage(source.imagesDir, reference);
  mkdirSync(cache);
  await exec('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=700', 'criu-cuda-test', cache]);
  try {
    const before = await registry.asked();
    const full = { code: 'ERR_ENVIRONMENT', message: expect.stringMatching(/needs .* in/) as string };
    await expect(pullImage(reference, imagesDir, { cache })).rejects.toMatchObject(full);
    await expect(pullImage(reference, imagesDir, { cache, cacheBudget: 2 ** 40 })).rejects.toMatchObject(
      full,
    );
    const moved = (await registry.answered(before)).filter(
      ({ method, bytes }) => method === 'GET' && bytes > 2 ** 20,
    );
    expect(moved).toEqual([]);
    expectNothingHalf();
  } finally {
    await exec('umount', [cache]);
  }
  await expect(
    pullImage(reference, imagesDir, { cache: `${cache}2`, cacheBudget: 2 ** 20 }),
  ).rejects.toMatchObject({ code: 'ERR_ENVIRONMENT' });
  expect(existsSync(imagesDir)).toBe(false);
});

it('a push says how much of the temporary directory it needs, and that is enough', async (context) => {
  needPrograms(context, 'age');
  const { stdout: identity } = await exec('age-keygen', []);
  const [recipient = ''] = /age1\w+/.exec(identity) ?? [];
  const temporary = join(machine.dir, 'temporary');
  mkdirSync(temporary);
  const pushWith = async (size: string, tag: string, recipients: string[]): Promise<unknown> => {
    await exec('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'criu-cuda-test', temporary]);
    vi.stubEnv('TMPDIR', temporary);
    try {
      const reference = registry.reference(`m/p:${tag}`);
      const pushed = pushImage(source.imagesDir, reference, { recipients, verify: true });
      return await pushed.then(
        () => undefined,
        (error: unknown) => error,
      );
    } finally {
      vi.unstubAllEnvs();
      expect(readdirSync(temporary)).toEqual([]);
      await exec('umount', [temporary]);
    }
  };
  for (const [tag, recipients] of Object.entries({ plain: [], secret: [recipient] })) {
    const error = await pushWith('1m', tag, recipients);
    expect(error).toMatchObject({
      message: `the temporary directory is full: ${temporary}`,
      missing: [{ what: expect.stringMatching(/^[\d.]+ [MG]iB of free space$/) as string }],
    });
    const [, amount = '', unit = ''] = /"([\d.]+) ([MG])iB of free space"/.exec(JSON.stringify(error)) ?? [];
    const mib = Number(amount) * (unit === 'G' ? 1024 : 1);
    // 128 MiB of device memory, which are there twice when they are encrypted, 6 MiB of host memory, and 16 MiB to spare
    expect(mib).toBeLessThan(300);
    expect(await pushWith(`${mib}m`, tag, recipients)).toBeUndefined();
    expect(await pushWith('1m', tag, recipients)).toMatchObject({ code: 'ERR_ENVIRONMENT' });
  }
});

it('a user without rights pushes and pulls', async () => {
  const home = join(machine.dir, 'home');
  cpSync(source.imagesDir, join(home, 'images'), { recursive: true });
  for (const path of [
    home,
    join(home, 'images'),
    ...readdirSync(join(home, 'images')).map((name) => join(home, 'images', name)),
  ])
    chownSync(path, 65_534, 65_534);
  chmodSync(machine.dir, 0o711);
  const run = (...words: string[]) =>
    execResult(
      'setpriv',
      [
        ...['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--'],
        ...[process.execPath, join(projectRoot, 'dist/cli.js'), 'image', ...words],
      ],
      { env: { HOME: home, XDG_CACHE_HOME: undefined, XDG_RUNTIME_DIR: undefined } },
    );
  const reference = registry.reference('m/p:1');
  const pushed = await run('push', join(home, 'images'), reference);
  expect(pushed.stderr).toContain('the memory and the environment of the program');
  expect(pushed.exitCode, pushed.stderr).toBe(0);
  expect(pushed.stdout).toMatch(
    /: [\d.]+ MiB, stored in \d+ blocks with [\d.]+ MiB \([\d.]+ MiB before compression\) in all\n/,
  );
  const pulled = await run('pull', reference, join(home, 'pulled'));
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  expect(statSync(join(home, 'pulled', 'inventory.img')).uid).toBe(65_534);
  await expectWhole(join(home, 'pulled'));
});
