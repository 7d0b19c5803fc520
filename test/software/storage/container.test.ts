// SPDX-License-Identifier: MIT
/**
 * Containers whose programs have no interceptor, on a driver with custom storage: of root, of another user, in a user
 * namespace.
 */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  removeContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { exec } from '../../../lib/exec.ts';
import { readGpuImages } from '../../../lib/images/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram, needDumpsOfOthers } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-storage-${process.pid}`;

let machine: Machine;
let socketPath: string;
let shared: string;

beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine({ SOFTCUDA_DRIVER: '615', CRIU_CUDA_STORAGE: 'driver' });
  chmodSync(machine.dir, 0o1777);
  shared = join(machine.dir, 'shared');
  for (const dir of [shared, join(machine.dir, 'devices')]) {
    mkdirSync(dir);
    chmodSync(dir, 0o1777);
  }
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  socketPath = join(shared, 'w.sock');
});
afterEach(async () => {
  await removeContainer(name);
  vi.unstubAllEnvs();
  await machine.close();
});

const ask = (request: string): Promise<string> =>
  waitFor(() => askWorkload(socketPath, request, 10_000), { interval: 20 });
const checksum = async (): Promise<string> => /checksum=(\w+)/.exec(await ask('verify'))?.[1] ?? 'none';

async function maps(): Promise<string> {
  const pid = (await exec('podman', ['inspect', '--format', '{{.State.Pid}}', name])).stdout.trim();
  return readFileSync(`/proc/${pid}/maps`, 'utf8');
}

const namespace = ['--uidmap', '0:100000:65536', '--gidmap', '0:100000:65536'];
const user = ['--user', '1000:1000'];

/** In a user namespace criu may dump every user, but it cannot restore podman's mounts. */
const kinds: { kind: string; podmanArgs: string[]; isRestored: boolean }[] = [
  { kind: 'of root', podmanArgs: [], isRestored: true },
  { kind: 'of user 1000', podmanArgs: user, isRestored: true },
  {
    kind: 'of user 1000 in a user namespace, left running',
    podmanArgs: [...namespace, ...user],
    isRestored: false,
  },
];

it.for(kinds)('a program without the interceptor, $kind', async ({ podmanArgs, isRestored }, context) => {
  if (podmanArgs === user) needDumpsOfOthers(context);
  await createContainer({
    ...{ name, image, variant: 'parallel', preset: 'python-server', gpu: 'none' },
    command: ['/bin/workload-pattern', '--alloc', '8Mx3', '--alloc', '64K', '--socket', socketPath],
    podmanArgs: [...podmanArgs, '--env', 'LD_PRELOAD=', '--volume', `${shared}:${shared}`],
  });
  const bytes = await checksum();
  expect(await maps()).not.toContain('libcuda_intercept');

  const dumped = await checkpointContainer({ name, leaveRunning: !isRestored });
  expect(dumped.tasks).toMatchObject([{ outcome: isRestored ? 'dumped' : 'rolled-back', prior: 'running' }]);
  const images = await readGpuImages(dumped.imagesDir ?? '');
  expect(images.map(({ manifest }) => manifest.isDriver)).toEqual([true]);
  if (isRestored) {
    const restored = await restoreContainer({ name, keep: true });
    expect(restored.tasks).toMatchObject([{ outcome: 'restored' }]);
  }
  expect(await checksum()).toBe(bytes);
});
