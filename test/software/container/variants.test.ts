// SPDX-License-Identifier: MIT
/** Which plugin a container gets by itself, at its creation, its checkpoint and its restore. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  removeContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';

const MIB = 2 ** 20;
const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-variants-${process.pid}`;

let machine: Machine;
let socketPath: string;
beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  vi.stubEnv('CRIU_LIBS_DIR', undefined);
  socketPath = join(machine.env.SOFTCUDA_DIR ?? '', 'w.sock');
});
afterEach(async () => {
  for (const one of [name, `${name}-2`]) await removeContainer(one);
  vi.unstubAllEnvs();
  await machine.close();
});

const checksum = (): Promise<string> =>
  waitFor(async () => /checksum=(\w+)/.exec(await askWorkload(socketPath, 'verify', 10_000))?.[1] ?? '', {
    interval: 20,
  });

async function start(variant?: string): Promise<string> {
  const command = ['/bin/workload-pattern', '--alloc', '8Mx3', '--socket', socketPath];
  await createContainer({ name, image, command, variant, gpu: 'none' });
  return checksum();
}

it('full, with the interceptor, and results say what the memory went through', async () => {
  const before = await start();
  const file = join(machine.dir, 'export.tar');
  await checkpointContainer({ name, exportTo: file, leaveRunning: true });
  const dumped = await checkpointContainer({ name });
  expect(dumped).toMatchObject({
    plugin: { variant: 'full', path: join(variantDir('full'), 'cuda_plugin.so') },
    memory: [{ pool: { by: 'helper', bytes: 24 * MIB } }],
    warnings: [],
  });
  const back = await restoreContainer({ name });
  expect(back).toMatchObject({
    plugin: { variant: 'full' },
    memory: [{ pool: { by: 'helper', bytes: 24 * MIB, source: 'files' } }],
    warnings: [],
  });
  expect(await checksum()).toBe(before);
  await removeContainer(name);
  const imported = await restoreContainer({ name: `${name}-2`, importFrom: file });
  expect(imported).toMatchObject({ plugin: { variant: 'full' }, warnings: [] });
  expect(await checksum()).toBe(before);
});

it('the one it was created for, as long as that can restore the images', async () => {
  const before = await start('stock');
  const first = await checkpointContainer({ name });
  expect(first).toMatchObject({
    plugin: { variant: 'stock' },
    memory: [{ pool: undefined, pageFileBytes: 0, reason: 'variant stock leaves it to the driver' }],
  });
  expect(first.memory[0]?.driverBytes).toBeGreaterThanOrEqual(24 * MIB);
  expect((await restoreContainer({ name })).plugin.variant).toBe('stock');
  expect(await checksum()).toBe(before);

  expect((await checkpointContainer({ name, variant: 'remap' })).plugin.variant).toBe('remap');
  await expect(restoreContainer({ name, variant: 'stock', keep: true })).rejects.toThrow(
    'variant stock cannot restore',
  );
  const back = await restoreContainer({ name });
  expect(back.plugin.variant).toBe('full');
  expect(back.warnings).toEqual([
    expect.stringContaining(
      `stock in ${variantDir('stock')} (for which the container was created) cannot restore`,
    ),
  ]);
  expect(await checksum()).toBe(before);
});

it('an archive of a container that was created for another variant is imported', async () => {
  const before = await start('parallel');
  const file = join(machine.dir, 'export.tar');
  await checkpointContainer({ name, exportTo: file });
  await removeContainer(name);
  await expect(restoreContainer({ name: `${name}-2`, importFrom: file, variant: 'remap' })).rejects.toThrow(
    'has more than was asked for',
  );
  vi.stubEnv('CRIU_LIBS_DIR', variantDir('parallel'));
  const back = await restoreContainer({ name: `${name}-2`, importFrom: file });
  expect(back).toMatchObject({ plugin: { variant: 'parallel' }, warnings: [] });
  expect(await checksum()).toBe(before);
});
