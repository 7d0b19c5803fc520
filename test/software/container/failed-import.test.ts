// SPDX-License-Identifier: MIT
/** What an import that fails says, and what it leaves. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi, type TestContext } from 'vitest';
import {
  checkpointContainer,
  createContainer,
  findContainer,
  removeContainer,
} from '../../../lib/container/index.ts';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { freePort, prepareContainers } from '../../helpers/container.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { Machine } from '../../helpers/machine.ts';

const { image = '', reason } = await prepareContainers();
const name = `criu-cuda-failed-${process.pid}`;
let machine: Machine;
let store: string;
let tar: string;

beforeEach(async (context: TestContext) => {
  if (reason !== undefined) context.skip(reason);
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  vi.stubEnv('CRIU_CUDA_CRIU', criuProgram());
  store = join(machine.dir, 'store');
  tar = join(machine.dir, 'failed.tar');
  mkdirSync(store);
  // the server has threads, and is the first process of its namespace
  const command = ['/bin/workload-pattern', '--alloc', '4M', '--http', String(await freePort())];
  await createContainer({ name, image, command, gpu: 'none', variant: 'parallel', store });
  await checkpointContainer({ name, exportTo: tar });
  await removeContainer(name);
});
afterEach(async () => {
  await removeContainer(name);
  vi.unstubAllEnvs();
  await machine.close();
});

function restore(env: Record<string, string>): Promise<ExecResult> {
  const words = [
    'container',
    'restore',
    '--import',
    tar,
    '--variant',
    'parallel',
    '--store',
    store,
    '--gpu',
    'none',
  ];
  return execResult(process.execPath, [join(projectRoot, 'dist', 'cli.js'), ...words], {
    env,
    timeoutMs: 60_000,
  });
}

it('names the cause once, and removes the container and its directory', async () => {
  const before = readdirSync(store);
  const { exitCode, stderr } = await restore({ SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:1:2' });
  expect(exitCode, stderr).toBe(1);
  expect(stderr).toContain('CUDA_ERROR_OUT_OF_MEMORY');
  expect(stderr.match(/OUT_OF_MEMORY/g)).toHaveLength(1);
  expect(stderr).not.toMatch(/the log is|criu failed: type NOTIFY/);
  expect(await findContainer(name)).toBeUndefined();
  expect(readdirSync(store)).toEqual(before);
  expect(existsSync(tar)).toBe(true);

  const again = await restore({});
  expect(again.exitCode, again.stderr).toBe(0);
  expect((await findContainer(name))?.isRunning).toBe(true);
}, 180_000);
