// SPDX-License-Identifier: MIT
// The pool loads an image while its blocks arrive, and criu restores it meanwhile; what becomes of both when one of those
// who take part ends.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { verifyGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { inspectImage, pushImage, type Block } from '../../../lib/registry/index.ts';
import { isAlive, killTree, readStat, waitForExit } from '../../../lib/process/index.ts';
import { dropAllImages, prefetchImages, readPoolWork } from '../../../lib/pool/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { HoldingProxy } from '../../helpers/holding-proxy.ts';
import { Machine } from '../../helpers/machine.ts';
import { snapshot } from '../../helpers/parallel.ts';
import { needPrograms, TestRegistry } from '../../helpers/registry.ts';
import { waitUntil, waitUntilFree } from '../../helpers/wait.ts';
import type { Workload } from '../../../lib/workload/index.ts';

/** 128 MiB of device memory, in several blocks. */
const ARGS = ['--alloc', '8Mx16', '--host', '6M', '--seed', '7'];

let machine: Machine;
let registry: TestRegistry;
let source: string;
let workload: Workload;
let before: string;
let stripes: Block[];
let proxy: HoldingProxy;
let reference: string;
let cache: string;
let pool: number;
let nr = 0;
const children: ChildProcess[] = [];

beforeAll(async () => {
  machine = new Machine();
  workload = await machine.start({ args: ARGS, env: { LD_PRELOAD: interceptorLibrary() } });
  before = await snapshot(workload);
  const run = await machine.dump(workload, { libdir: variantDir('full') });
  expect(run.exitCode, run.log.slice(-2000)).toBe(0);
});
afterAll(async () => {
  await registry.stop();
  await machine.close();
});
beforeEach(async (context) => {
  needPrograms(context, 'skopeo', 'docker-registry');
  if (nr === 0) {
    registry = await TestRegistry.start(join(machine.dir, 'registry'));
    source = registry.reference('models/pattern:warm');
    await pushImage(machine.imagesDir, source);
    const { blocks } = (await inspectImage(source)).description;
    stripes = blocks.filter(({ kind }) => kind === 'stripe');
  }
  nr += 1;
  expect(stripes.length).toBeGreaterThan(1);
  cache = join(machine.dir, `cache-${nr}`);
  proxy = await HoldingProxy.start(registry.port);
  proxy.held.add(stripes.at(-1)?.digest ?? '');
  reference = source.replace(String(registry.port), String(proxy.port));
  pool = (await machine.startPool()).pid;
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  await killTree(pool);
  await proxy.close();
});

const env = (): NodeJS.ProcessEnv => ({ ...process.env, ...machine.env, CRIU_CUDA_CRIU: criuProgram() });

interface Typed {
  child: ChildProcess;
  ended: Promise<{ exitCode: number | null; stdout: string; stderr: string }>;
}

/** Types a command, which is killed at the end of the test. */
function type(words: readonly string[], under: readonly string[] = []): Typed {
  const [file = '', ...rest] = [...under, process.execPath, join(projectRoot, 'dist/cli.js'), ...words];
  const child = spawn(file, rest, { env: env(), stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]).then(
    ([stdout, stderr]) => ({ exitCode: child.exitCode, stdout, stderr }),
  );
  return { child, ended };
}

const golden = (from = reference): Typed =>
  type(['golden', 'restore', from, '--cache', cache, '--detach', '--json']);
const prefetch = (): Typed => type(['pool', 'prefetch', reference, '--cache', cache, '--json']);

/** Waits until device memory is loaded, and the last block is not there. */
async function untilLoading(): Promise<void> {
  await waitUntil(async () => {
    const [image] = (await machine.poolStatus()).images;
    return proxy.asked.size > 0 && (image?.loadedBytes ?? 0) > 0;
  });
  expect((await machine.poolStatus()).images).toMatchObject([{ state: 'loading' }]);
}

/** Nothing of a load that was given up is in device memory, or in the way of the next one. */
async function expectNoneResident(): Promise<void> {
  await waitUntil(async () => {
    const { images, devices } = await machine.poolStatus();
    return (
      images.length === 0 && devices.every(({ freeBytes, totalBytes }) => totalBytes - freeBytes < 2 ** 26)
    );
  });
}

const imagesIn = (): string[] =>
  existsSync(join(cache, 'images')) ? readdirSync(join(cache, 'images')) : [];

it('device memory is loaded before the last block is there, and a restore gets it', async () => {
  const { ended } = prefetch();
  await untilLoading();
  expect(imagesIn().filter((name) => !name.startsWith('.'))).toEqual([]);
  proxy.release();
  const { exitCode, stdout, stderr } = await ended;
  expect(exitCode, stderr + stdout).toBe(0);
  const { dir, resident } = JSON.parse(stdout) as { dir: string; resident: number };
  expect(resident).toBe(1);
  expect((await machine.poolStatus()).images).toMatchObject([{ dir, state: 'resident', isGolden: false }]);
  for (const image of await verifyGpuImages(dir)) expect(image).toMatchObject({ ok: true });
  const restored = await type(['golden', 'restore', reference, '--cache', cache, '--detach']).ended;
  expect(restored.exitCode, restored.stderr).toBe(0);
  expect((await machine.poolStatus()).counters).toMatchObject({ reused: 1 });
  expect(await snapshot(workload)).toBe(before);
  await machine.kill(workload.pid);
});

/** What a restore leaves only while it is in progress. */
const workDirs = (): string[] => readdirSync(cache).filter((name) => name.startsWith('work-'));

/** Waits until criu and the driver have restored the process, which waits for the block that is held. */
async function untilRestored(): Promise<void> {
  await waitUntil(async () => {
    const { operations } = await readPoolWork({ runDir: machine.runDir });
    return (
      proxy.asked.size > 0 && operations.some(({ kind, pid }) => kind === 'restore' && pid === workload.pid)
    );
  });
  for (const tid of readdirSync(`/proc/${workload.pid}/task`)) expect(readStat(Number(tid))?.state).toBe('t');
  expect(imagesIn().filter((name) => !name.startsWith('.'))).toEqual([]);
}

const AGAIN = 'the restore that began while blocks arrived is tried again';

async function expectNothingLeft(): Promise<void> {
  await waitUntil(async () => {
    await waitForExit(workload.pid); // collects it once its parent, which may be criu, has ended
    return !existsSync(`/proc/${workload.pid}`);
  });
  await expectNoneResident();
  expect(imagesIn().filter((name) => !name.startsWith('.'))).toEqual([]);
}

interface Restored {
  pid: number;
  imagesDir: string;
  warnings: string[];
}

/** Waits for a restore, and compares memory. */
async function expectRestored({ ended }: Typed): Promise<Restored> {
  const { exitCode, stdout, stderr } = await ended;
  expect(exitCode, stderr + stdout).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  await machine.kill(workload.pid);
  return JSON.parse(stdout) as Restored;
}

it('criu restores what is not in the cache before its last block is there, and then from the cache', async () => {
  const first = golden();
  await untilRestored();
  proxy.release();
  const { pid, imagesDir, warnings } = await expectRestored(first);
  expect(pid).toBe(workload.pid);
  expect(warnings.join()).not.toContain(AGAIN);
  expect(imagesIn()).toEqual([basename(imagesDir)]);
  for (const image of await verifyGpuImages(imagesDir)) expect(image).toMatchObject({ ok: true });
  const { counters, images } = await machine.poolStatus();
  expect(counters).toMatchObject({ reused: 1, restores: 1, failures: 0 });
  expect(images).toEqual([]);
  await expectNoneResident();
  const second = await expectRestored(golden());
  expect(second.imagesDir).toBe(imagesDir);
  expect(workDirs()).toEqual([]);
});

it('a registry that ends while criu restores ends that, and the next restore succeeds', async () => {
  const { ended } = golden();
  await untilRestored();
  await proxy.close();
  const { exitCode, stdout } = await ended;
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'ERR_REGISTRY', message: expect.stringContaining('does not answer') as string },
  });
  expect(isAlive(workload.pid)).toBe(false);
  await expectNothingLeft();
  expect([imagesIn(), workDirs()]).toEqual([[], []]);
  await expectRestored(golden(source));
});

it('a last block with other bytes than its digest says ends the restore, and the next one succeeds', async () => {
  const { ended } = golden();
  await untilRestored();
  const path = registry.blobPath(stripes.at(-1)?.digest ?? '');
  const bytes = readFileSync(path);
  const changed = Buffer.from(bytes);
  changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 1;
  writeFileSync(path, changed);
  try {
    proxy.release();
    const { exitCode, stdout } = await ended;
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'ERR_REGISTRY_IMAGE', message: expect.stringContaining('digest') as string },
    });
    expect(isAlive(workload.pid)).toBe(false);
    await expectNothingLeft();
  } finally {
    writeFileSync(path, bytes);
  }
  await expectRestored(golden());
});

it.each(['SIGINT', 'SIGKILL'] as const)(
  '%s while criu restores ends that, and the next restore succeeds',
  async (signal) => {
    const { child, ended } = golden();
    await untilRestored();
    child.kill(signal);
    expect((await ended).exitCode).toBe(signal === 'SIGINT' ? 130 : null);
    await expectNothingLeft();
    proxy.release();
    await expectRestored(golden());
  },
);

it('what was restored by a pool that has ended is restored again when all blocks are there', async () => {
  const restored = golden();
  await untilRestored();
  process.kill(pool, 'SIGKILL');
  await waitUntilFree(workload.pid);
  proxy.release();
  const { warnings } = await expectRestored(restored);
  expect(warnings.join()).toContain(AGAIN);
  expect(workDirs()).toEqual([]);
});

it('a command that is killed leaves no memory behind, and the next one continues', async () => {
  const { child } = prefetch();
  await untilLoading();
  child.kill('SIGKILL');
  await expectNoneResident();
  const asked = await registry.asked();
  proxy.release();
  const { exitCode, stderr } = await prefetch().ended;
  expect(exitCode, stderr).toBe(0);
  const first = stripes[0]?.digest ?? '';
  expect((await registry.answered(asked)).filter(({ path }) => path.endsWith(first))).toEqual([]);
  expect((await machine.poolStatus()).images).toMatchObject([{ state: 'resident' }]);
});

it('a registry that ends in the middle ends the load, and is named', async () => {
  const { ended } = prefetch();
  await untilLoading();
  await proxy.close();
  const { exitCode, stdout } = await ended;
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'ERR_REGISTRY', message: expect.stringContaining('does not answer') as string },
  });
  await expectNoneResident();
  expect(imagesIn()).toEqual([]);
});

it('a pool that is killed ends the command, which says so', async () => {
  const { ended } = prefetch();
  await untilLoading();
  process.kill(pool, 'SIGKILL');
  const { exitCode, stdout } = await ended;
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'ERR_POOL', message: 'the pool daemon ended before the images were resident' },
  });
  expect(imagesIn()).toEqual([]);
});

it('what is dropped while it arrives ends the command, and the pool ends while it waits', async () => {
  const first = prefetch();
  await untilLoading();
  await dropAllImages({ runDir: machine.runDir });
  expect(JSON.parse((await first.ended).stdout)).toMatchObject({
    error: { code: 'ERR_POOL', message: 'dropped before all of it had arrived' },
  });
  await expectNoneResident();
  const second = prefetch();
  await untilLoading();
  const { exitCode, stderr } = await type(['pool', 'stop']).ended;
  expect(exitCode, stderr).toBe(0);
  expect((await second.ended).exitCode).toBe(1);
});

it('two commands for one image move and load it once', async () => {
  const asked = await registry.asked();
  const commands = [prefetch()];
  await untilLoading();
  const askedFirst = await registry.asked();
  commands.push(prefetch());
  await waitUntil(() => registry.requests().length > askedFirst);
  proxy.release();
  for (const { exitCode, stderr, stdout } of await Promise.all(commands.map(({ ended }) => ended))) {
    expect(exitCode, stderr + stdout).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ resident: 1 });
  }
  const moved = (await registry.answered(asked)).filter(({ path }) =>
    stripes.some((one) => path.endsWith(one.digest)),
  );
  expect(moved).toHaveLength(stripes.length);
  expect((await machine.poolStatus()).images).toHaveLength(1);
});

it('another image is loaded while one waits', async () => {
  const { ended } = prefetch();
  await untilLoading();
  expect(await prefetchImages(machine.imagesDir, { runDir: machine.runDir })).toBe(1);
  expect((await machine.poolStatus()).images.map(({ state }) => state).sort()).toEqual([
    'loading',
    'resident',
  ]);
  await dropAllImages({ runDir: machine.runDir });
  await ended;
});

it('without the rights for the pool, no device memory is moved', async () => {
  chmodSync(machine.dir, 0o711);
  mkdirSync(cache, { mode: 0o777 });
  const under = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--'];
  const asked = await registry.asked();
  const home = join(machine.dir, 'home');
  mkdirSync(home, { recursive: true });
  chownSync(home, 65_534, 65_534);
  const words = ['pool', 'prefetch', reference, '--cache', join(home, 'cache'), '--json'];
  const { exitCode, stdout } = await type(words, under).ended;
  expect(exitCode).not.toBe(0);
  expect(JSON.parse(stdout)).toHaveProperty('error');
  const moved = (await registry.answered(asked)).filter(({ path }) =>
    stripes.some((one) => path.endsWith(one.digest)),
  );
  expect(moved).toEqual([]);
});
