// SPDX-License-Identifier: MIT
import { closeSync, existsSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { readGpuImages } from '../../../lib/images/index.ts';
import { builtProgram, interceptorLibrary, projectRoot } from '../../../lib/paths.ts';
import { readStat } from '../../../lib/process/index.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { hasStorage } from '../../helpers/driver.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const preload = { LD_PRELOAD: interceptorLibrary() };

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

/** The program itself, the way an operator runs it. */
function cli(args: readonly string[], env: Record<string, string> = {}): Promise<ExecResult> {
  return execResult(process.execPath, [join(projectRoot, 'dist', 'cli.js'), ...args], {
    env: { ...machine.env, ...env },
  });
}

it.each(['stock', 'parallel'])('checkpoint and restore --detach with variant %s', async (variant) => {
  const workload = await machine.start({ env: preload });
  const before = `${await workload.verify()} ${await workload.addresses()}`;
  const where = ['--images-dir', machine.imagesDir, '--variant', variant];
  const dumped = await cli(['checkpoint', '--json', '--pid', String(workload.pid), ...where]);
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  await workload.ended();
  const restored = await cli(['restore', '--json', '--detach', ...where]);
  expect(restored.exitCode, restored.stdout + restored.stderr).toBe(0);
  expect(JSON.parse(restored.stdout)).toMatchObject({ pid: workload.pid });
  expect(`${await workload.verify()} ${await workload.addresses()}`).toBe(before);
  const state = await cli(['process', 'state', '--json', '--pid', String(workload.pid)]);
  expect(state.stdout).toContain('running');
  await machine.kill(workload.pid);
});

it("restore fails with exit code 1 and the driver's reason when device memory is not restored", async () => {
  const workload = await machine.start();
  const where = ['--images-dir', machine.imagesDir, '--variant', 'stock'];
  expect((await cli(['checkpoint', '--pid', String(workload.pid), ...where])).exitCode).toBe(0);
  await workload.ended();
  const failed = await cli(['restore', '--json', ...where], {
    SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:1:2',
  });
  expect(failed.exitCode).toBe(1);
  const { error } = JSON.parse(failed.stdout) as { error: { code: string; message: string } };
  expect(error.code).toBe('ERR_RESTORE_DEVICE');
  expect(error.message).toContain('CUDA_ERROR_OUT_OF_MEMORY');
  expect([undefined, 'Z']).toContain(readStat(workload.pid)?.state);
});

it('restore fails when device memory proves wrong after criu has ended', async () => {
  const workload = await machine.start({ env: preload });
  const where = ['--images-dir', machine.imagesDir, '--variant', 'parallel'];
  expect((await cli(['checkpoint', '--pid', String(workload.pid), ...where])).exitCode).toBe(0);
  await workload.ended();
  const stripe = readdirSync(machine.imagesDir).find((name) => /^cuda-\d+-\d+\.img$/.test(name)) ?? '';
  const fd = openSync(join(machine.imagesDir, stripe), 'r+');
  writeSync(fd, 'not what was stored', 4096);
  closeSync(fd);
  const failed = await cli(['restore', '--json', ...where]);
  expect(failed.exitCode).toBe(1);
  expect(failed.stdout).toContain(stripe);
  expect([undefined, 'Z']).toContain(readStat(workload.pid)?.state);
});

it.each([
  { flags: [], isMoved: true },
  { flags: ['--no-intercept'], isMoved: false },
])('run $flags: the interceptor moves device memory: $isMoved', async ({ flags, isMoved }) => {
  const socketPath = join(machine.dir, 'run.sock');
  const command = [builtProgram('workload-pattern'), '--alloc', '4M', '--socket', socketPath];
  // The program inherits our streams; if one were a socket to the test, it could not be dumped.
  const quiet = ['-c', 'exec "$0" "$@" </dev/null >/dev/null 2>&1', process.execPath];
  const words = [join(projectRoot, 'dist', 'cli.js'), 'run', ...flags, '--', ...command];
  const running = execResult('sh', [...quiet, ...words], { env: machine.env });
  const ask = async (request: string): Promise<string> => {
    await waitUntil(() => existsSync(socketPath));
    return waitFor(() => askWorkload(socketPath, request, 10_000));
  };
  const pid = Number(/pid=(\d+)/.exec(await ask('status'))?.[1]);
  const where = ['--images-dir', machine.imagesDir, '--variant', 'parallel'];
  const dumped = await cli(['checkpoint', '--leave-running', '--pid', String(pid), ...where]);
  expect(dumped.exitCode, dumped.stdout + dumped.stderr).toBe(0);
  const images = await readGpuImages(machine.imagesDir);
  const isDriver = images.map(({ manifest }) => manifest.isDriver);
  expect(isDriver).toEqual(isMoved ? [false] : hasStorage ? [true] : []);
  expect(await ask('verify')).toMatch(/^ok checksum=/);
  await askWorkload(socketPath, 'quit', 10_000).catch(() => undefined); // it may end before it answers
  expect((await running).exitCode).toBe(0);
});

it('lists GPUs and CUDA processes, as text and as JSON', async () => {
  const { pid } = await machine.start();
  const { gpus } = JSON.parse((await cli(['gpu', '--json'])).stdout) as { gpus: { uuid: string }[] };
  expect(gpus).toMatchObject([{ name: 'softcuda software device 0', memory: { totalBytes: 2 ** 28 } }]);
  expect((await cli(['gpu'])).stdout).toContain('256 MiB');
  const { processes } = JSON.parse((await cli(['process', 'list', '--json'])).stdout) as {
    processes: unknown[];
  };
  expect(processes).toContainEqual(expect.objectContaining({ pid, state: 'running' }));
  expect(JSON.stringify(processes)).toContain(`{"uuid":"${gpus[0]?.uuid ?? ''}","usedBytes":`);
  expect((await cli(['process', 'list'])).stdout).toMatch(
    new RegExp(`^${pid} +running +\\d+ MiB on GPU-`, 'm'),
  );
});

it('names a process that does not exist', async () => {
  const result = await cli(['checkpoint', '--json', '--pid', '4194000', '--images-dir', machine.imagesDir]);
  expect(result.exitCode).toBe(2);
  expect(result.stdout).toContain('no process 4194000');
});
