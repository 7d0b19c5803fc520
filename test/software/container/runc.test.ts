// SPDX-License-Identifier: MIT
/** What an engine that starts criu itself, here plain runc, learns about an operation. */
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, type TestContext } from 'vitest';
import { listOperations, type OperationRecord } from '../../../lib/operations/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { errorsIn } from '../../helpers/parallel.ts';
import { RuncContainer, runcProgram, type BundleOptions } from '../../helpers/runc.ts';

let machine: Machine;
let container: RuncContainer | undefined;
beforeEach((context: TestContext) => {
  if (runcProgram() === undefined) context.skip('runc is not installed: criu-cuda container setup');
  machine = new Machine();
  mkdirSync(join(machine.dir, 'devices'), { recursive: true });
});
afterEach(async () => {
  await container?.remove();
  container = undefined;
  await machine.close();
});

async function start(options: BundleOptions = {}): Promise<RuncContainer> {
  container = await RuncContainer.create(machine, 'criu-cuda-truth', options);
  const { exitCode, stderr } = await container.run();
  expect(exitCode, stderr).toBe(0);
  return container;
}

const operations = (): OperationRecord[] => listOperations({ runDir: machine.runDir });
const log = (name: string): string => readFileSync(join(machine.imagesDir, name), 'utf8');

/** Without the time that it took. */
const verify = async (one: RuncContainer): Promise<string> => (await one.ask('verify')).replace(/ ms=.*/, '');

async function checkpoint(one: RuncContainer): Promise<void> {
  const { exitCode, stderr } = await one.checkpoint(machine.imagesDir);
  expect(exitCode, `${stderr}\n${errorsIn(log('dump.log'))}`).toBe(0);
}

it('restores a container with its bytes', async () => {
  const one = await start();
  const before = await verify(one);
  await checkpoint(one);
  const restored = await one.restore(machine.imagesDir);
  expect(restored.exitCode, `${restored.stderr}\n${errorsIn(log('restore.log'))}`).toBe(0);
  expect(await verify(one)).toBe(before);
  expect(await one.state()).toMatchObject({ status: 'running' });
  const shared = {
    outcome: 'succeeded',
    container: { engine: 'runc', id: one.id },
    caller: 'runc',
    imagesDir: machine.imagesDir,
    warnings: [],
  };
  expect(operations()).toMatchObject([
    { ...shared, kind: 'dump', processes: [{ name: 'workload-patter', outcome: 'dumped' }] },
    { ...shared, kind: 'restore', processes: [{ name: 'workload-patter', outcome: 'restored' }] },
  ]);
  expect(operations().map(({ processes }) => processes[0]?.memory?.pool?.by)).toEqual(['helper', 'helper']);
});

it('learns that a damaged GPU image was not restored', async () => {
  const one = await start();
  await verify(one);
  await checkpoint(one);
  const stripe = readdirSync(machine.imagesDir).find((name) => /^cuda-\d+-\d+\.img$/.test(name)) ?? '';
  const path = join(machine.imagesDir, stripe);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(1 << 20) ^ 1, 1 << 20);
  writeFileSync(path, bytes);
  const restored = await one.restore(machine.imagesDir);
  expect(restored.exitCode).not.toBe(0);
  expect(log('restore.log')).toMatch(/load of its device memory: cuda-1-0\.img: .*: the file is damaged/);
  expect(await one.state()).toBeUndefined();
  expect(operations().at(-1)).toMatchObject({
    kind: 'restore',
    outcome: 'failed',
    container: { engine: 'runc', id: one.id },
    reason: expect.stringMatching(/cuda-1-0\.img: .*: the file is damaged$/) as string,
  });
});

it('learns what is wrong with a manifest before anything is restored', async () => {
  const one = await start();
  await verify(one);
  await checkpoint(one);
  truncateSync(join(machine.imagesDir, 'cuda-1.img'), 100);
  expect((await one.restore(machine.imagesDir)).exitCode).not.toBe(0);
  expect(log('restore.log')).not.toContain('Forking task');
  expect(operations().at(-1)).toMatchObject({
    kind: 'restore',
    outcome: 'failed',
    imagesDir: machine.imagesDir,
    reason: expect.stringMatching(/^cuda-1\.img: /) as string,
  });
});

it.each([
  [
    'is forgotten',
    { preload: false },
    'it has no interceptor',
    /has no interceptor: start it with criu-cuda run/,
  ],
  [
    'is not mounted',
    { mountInterceptor: false },
    'LD_PRELOAD names an interceptor that is not visible inside its container',
    /is not visible inside its container: add -v \/.*intercept:\/.*intercept:ro/,
  ],
])(
  'is told that device memory went through the driver when the interceptor %s',
  async (_, options, reason, said) => {
    machine.env.CRIU_CUDA_STORAGE = 'off'; // or the pool has the memory from a driver that hands it over
    const one = await start(options);
    const before = await verify(one);
    const began = performance.now();
    await checkpoint(one);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(errorsIn(log('dump.log'))).toMatch(said);
    expect(operations().at(-1)).toMatchObject({
      outcome: 'succeeded',
      warnings: [expect.stringMatching(`went through the driver because ${reason}$`) as string],
    });
    expect((await one.restore(machine.imagesDir)).exitCode).toBe(0);
    expect(await verify(one)).toBe(before);
  },
);
