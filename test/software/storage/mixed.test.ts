// SPDX-License-Identifier: MIT
/** A tree in which the interceptor moves the memory of one process, and the driver hands over that of the other. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readGpuImages } from '../../../lib/images/index.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { readProcessTree } from '../../../lib/process/index.ts';
import { askWorkload, type Workload } from '../../../lib/workload/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitFor } from '../../helpers/wait.ts';

const ARGS = ['--alloc', '8Mx3', '--alloc', '64K'];

let machine: ParallelMachine;
let workload: Workload;
let before: string[];

/** Checksums and addresses of both. */
async function snapshots(): Promise<string[]> {
  const other = (request: string): Promise<string> =>
    askWorkload(join(machine.dir, 'moved.sock'), request, 20_000);
  const texts = [await workload.ask('verify'), await other('verify')];
  return [
    ...texts.map((text) => /checksum=\w+/.exec(text)?.[0] ?? text),
    await workload.addresses(),
    await other('addresses'),
  ];
}

beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615' });
  const socket = join(machine.dir, 'moved.sock');
  const child = `LD_PRELOAD=${interceptorLibrary()} "$1" ${ARGS.join(' ')} --seed 9 --socket ${socket}`;
  workload = await machine.start({ args: ARGS, under: ['sh', '-c', `${child} & exec "$@"`, 'sh'] });
  before = await waitFor(snapshots);
});
afterEach(() => machine.close());

async function dump(args: readonly string[] = []): Promise<void> {
  const dumped = await machine.tryDump(workload, { args });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  const images = await readGpuImages(machine.imagesDir);
  expect(images.map(({ manifest }) => manifest.isDriver).sort()).toEqual([false, true]);
}

async function expectSame(): Promise<void> {
  expect(await snapshots()).toEqual(before);
  for (const { pid } of readProcessTree(workload.pid)) expect(await machine.state(pid)).toBe('running');
  await machine.expectNothingLeft();
}

it('is restored, each in its way', async () => {
  await dump();
  const restored = await machine.tryRestore();
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  await expectSame();
});

it('runs on when it is left running', async () => {
  await dump(['--leave-running']);
  await expectSame();
});

it('runs on after a dump that fails at its end', async () => {
  const dumped = await machine.tryDump(workload, { args: machine.actionScript('post-dump', 'exit 1') });
  expect(dumped.exitCode).not.toBe(0);
  await expectSame();
});

it('gets all of its memory from another pool when the first is killed in a restore', async () => {
  await dump();
  const env = await faultPoint(machine.dir, 'pool:status:1:ask:"storage":true', (pool) => {
    process.kill(pool, 'SIGKILL');
    return Promise.resolve();
  });
  const restored = await machine.tryRestore({ env });
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(restored.status).toContainEqual(expect.objectContaining({ event: 'fallback', to: 'helper' }));
  await expectSame();
});
