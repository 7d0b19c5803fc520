// SPDX-License-Identifier: MIT
/**
 * Containers whose programs have no interceptor, on a driver with custom storage: of root, of another user, in a user
 * namespace; with this machine's C library, with an older glibc, and with musl. With the older glibc, the other variants
 * are tried as well.
 */
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  vi,
  type TestContext,
} from 'vitest';
import {
  checkpointContainer,
  createContainer,
  removeContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { exec, execResult } from '../../../lib/exec.ts';
import { readGpuImages } from '../../../lib/images/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { buildImage, prepareContainers } from '../../helpers/container.ts';
import { criuProgram, needDumpsOfOthers } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';
import { FOREIGN_DRIVER, makeForeignRootfs, noForeign, type Libc } from './foreign.ts';

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

/**
 * Dumps and restores a program, and compares its memory.
 * @param variant `full` with the interceptor, the others without
 * @returns what was mapped in it before
 */
async function cycle(
  imageName: string,
  podmanArgs: readonly string[],
  isRestored: boolean,
  variant: 'parallel' | 'full' | 'remap' = 'parallel',
): Promise<string> {
  await createContainer({
    ...{ name, image: imageName, variant, preset: 'python-server', gpu: 'none' },
    command: ['/bin/workload-pattern', '--alloc', '8Mx3', '--alloc', '64K', '--socket', socketPath],
    podmanArgs: [
      ...podmanArgs,
      ...(variant === 'full' ? [] : ['--env', 'LD_PRELOAD=']),
      ...['--volume', `${shared}:${shared}`],
    ],
  });
  const bytes = await checksum();
  const mapped = await maps();
  expect(mapped.includes('libcuda_intercept')).toBe(variant === 'full');

  const dumped = await checkpointContainer({ name, leaveRunning: !isRestored });
  expect(dumped.tasks).toMatchObject([{ outcome: isRestored ? 'dumped' : 'rolled-back', prior: 'running' }]);
  const images = await readGpuImages(dumped.imagesDir ?? '');
  const isDriver = images.map(({ manifest }) => manifest.isDriver);
  expect(isDriver).toEqual(variant === 'remap' ? [] : [variant === 'parallel']);
  if (isRestored) {
    const restored = await restoreContainer({ name, keep: true });
    expect(restored.tasks).toMatchObject([{ outcome: 'restored' }]);
  }
  expect(await checksum()).toBe(bytes);
  return mapped;
}

it.for(kinds)('a program without the interceptor, $kind', async ({ podmanArgs, isRestored }, context) => {
  if (podmanArgs === user) needDumpsOfOthers(context);
  await cycle(image, podmanArgs, isRestored);
});

/** A variant and a driver. */
type Other = readonly ['full' | 'remap', string];

const foreign: { libc: Libc; title: string; library: string; others: Other[] }[] = [
  {
    libc: 'glibc',
    title: 'an older glibc',
    library: '/lib/x86_64-linux-gnu/libc.so.6',
    others: [
      ['full', '580'],
      ['full', '615'],
      ['remap', '580'],
    ],
  },
  // without the interceptor `full` is no different
  { libc: 'musl', title: 'musl', library: '/lib/ld-musl-x86_64.so.1', others: [] },
];

describe.for(foreign)('an image with $title', ({ libc, library, others }) => {
  const foreignImage = `localhost/criu-cuda-test-storage-${libc}`;
  const missing = reason ?? noForeign(libc);

  beforeAll(async () => {
    if (missing === undefined) await buildImage(foreignImage, (root) => makeForeignRootfs(root, libc));
  });
  afterAll(async () => {
    if (missing === undefined) await execResult('podman', ['image', 'rm', '--force', foreignImage]);
  });

  it.for(kinds)('and a program $kind', async ({ podmanArgs, isRestored }, context) => {
    if (missing !== undefined) context.skip(missing);
    if (podmanArgs === user) needDumpsOfOthers(context);
    const mapped = await cycle(
      foreignImage,
      [...podmanArgs, '--env', `CRIU_CUDA_DRIVER=${FOREIGN_DRIVER}`],
      isRestored,
    );
    expect(mapped).toContain(FOREIGN_DRIVER);
    expect(mapped).toContain(library);
  });

  it.for(others)('with the variant %s on driver %s', async ([variant, driver], context) => {
    if (missing !== undefined) context.skip(missing);
    vi.stubEnv('CRIU_CUDA_STORAGE', 'auto');
    vi.stubEnv('SOFTCUDA_DRIVER', driver);
    const mapped = await cycle(foreignImage, ['--env', `CRIU_CUDA_DRIVER=${FOREIGN_DRIVER}`], true, variant);
    expect(mapped).toContain(library);
  });
});
