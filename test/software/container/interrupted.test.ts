// SPDX-License-Identifier: MIT
/** Operations with containers that are interrupted: afterwards podman, the processes and the message say the same. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  removeContainer,
  requireContainer,
  restoreContainer,
} from '../../../lib/container/index.ts';
import { InterruptedError } from '../../../lib/errors.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-interrupted-${process.pid}`;
const TIMEOUT_MS = 240_000;

let machine: Machine;
let socketPath: string;
beforeEach((context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  socketPath = join(machine.env.SOFTCUDA_DIR ?? '', 'w.sock');
});
afterEach(async () => {
  await removeContainer(name);
  vi.unstubAllEnvs();
  await machine.close();
});

const checksum = (): Promise<string> =>
  waitFor(async () => /checksum=\w+/.exec(await askWorkload(socketPath, 'verify', 10_000))?.[0] ?? '');

async function start(): Promise<string> {
  const command = ['/bin/workload-pattern', '--alloc', '8Mx3', '--socket', socketPath];
  await createContainer({ name, image, command, variant: 'parallel', preset: 'python-server', gpu: 'none' });
  return checksum();
}

/** Aborts work when a file is there. @returns what the work threw, if it did */
async function abortAt(path: string, work: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const caller = new AbortController();
  const outcome = work(caller.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  await waitUntil(() => existsSync(path), { interval: 1 });
  caller.abort(new InterruptedError('ERR_INTERRUPTED', 'enough'));
  return outcome;
}

it.each(['restore.log', 'stats-restore'])(
  'a restore is done, or not at all (%s)',
  async (file) => {
    const before = await start();
    await checkpointContainer({ name });
    const { dir } = await requireContainer(name);
    const restored = (signal: AbortSignal): Promise<unknown> =>
      restoreContainer({ name, keep: true, signal });
    const error = await abortAt(join(dir, file), restored);
    expect((await requireContainer(name)).isRunning).toBe(error === undefined);
    if (error !== undefined) {
      expect(error).toMatchObject({ code: 'ERR_INTERRUPTED', message: `enough: ${name} is not restored` });
      // nothing has its pids and its port
      await restoreContainer({ name });
    }
    expect(await checksum()).toBe(before);
  },
  TIMEOUT_MS,
);

it.each(['dump.log', 'stats-dump'])(
  'a checkpoint is complete, or the program runs on (%s)',
  async (file) => {
    const before = await start();
    const { dir, pid } = await requireContainer(name);
    const dumped = (signal: AbortSignal): Promise<unknown> => checkpointContainer({ name, signal });
    const error = await abortAt(join(dir, file), dumped);
    const message = error instanceof Error ? error.message : 'it is complete';
    const runsOn = message === `enough: ${name} runs as before`;
    expect(isAlive(pid)).toBe(runsOn);
    expect((await requireContainer(name)).isRunning).toBe(runsOn);
    if (!runsOn) {
      expect(message).toMatch(/it is complete|^enough: .* has ended, and its checkpoint is in /);
      await restoreContainer({ name });
    }
    expect(await checksum()).toBe(before);
  },
  TIMEOUT_MS,
);

it(
  'a container whose start is interrupted runs, and the message says so',
  async () => {
    const caller = new AbortController();
    const command = ['/bin/workload-pattern', '--alloc', '8M', '--socket', socketPath];
    const options = { name, image, command, variant: 'parallel', gpu: 'none' } as const;
    const outcome = createContainer({ ...options, signal: caller.signal }).then(
      () => undefined,
      (error: unknown) => error,
    );
    await waitUntil(() => existsSync(socketPath), { interval: 1 });
    caller.abort(new InterruptedError('ERR_INTERRUPTED', 'enough'));
    const error = await outcome;
    expect((await requireContainer(name)).isRunning).toBe(true);
    if (error !== undefined) expect(error).toMatchObject({ message: `enough: ${name} runs` });
    expect(await checksum()).not.toBe('');
  },
  TIMEOUT_MS,
);
