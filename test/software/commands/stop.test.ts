// SPDX-License-Identifier: MIT
/** `criu-cuda stop`: what the driver does before the processes are killed, and what is said where it cannot. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, readProcessTree, readStat, readThreadState } from '../../../lib/process/index.ts';
import { stopProcess } from '../../../lib/api/index.ts';
import { endProgram, releaseDevices } from '../../../lib/stop/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const ILLEGAL_STATE = 401;

let machine: Machine;
let workload: Workload;
beforeEach(async () => {
  machine = new Machine();
  for (const [key, value] of Object.entries(machine.env)) vi.stubEnv(key, value);
  workload = await machine.start();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await machine.close();
});

/** Runs the command in a process of its own. */
const stop = (
  words: (string | number)[],
  env: Record<string, string | undefined> = {},
): Promise<ExecResult> =>
  execResult(process.execPath, [join(projectRoot, 'dist', 'cli.js'), 'stop', ...words.map(String)], {
    env: { ...machine.env, ...env },
  });

describe('before a process is killed', () => {
  // the first one: the software NVML in this process keeps the devices that it has opened first
  it('it is only locked when much would be copied to the host', async () => {
    const { processes } = await releaseDevices(workload.pid, { mostBytes: 2 ** 20 });
    expect(processes).toMatchObject([{ pid: workload.pid, isCheckpointed: false }]);
    expect(processes[0]?.reason).toMatch(/^locked, but not checkpointed: .* of device memory to the host$/);
    expect(await machine.state(workload.pid)).toBe('locked');
  });

  it('the driver has moved its memory and given up the GPU', async () => {
    expect(await releaseDevices(workload.pid)).toEqual({
      processes: [{ pid: workload.pid, isCheckpointed: true }],
    });
    expect(isAlive(workload.pid)).toBe(true);
    expect(await machine.state(workload.pid)).toBe('checkpointed');
  });

  it('it may be locked or checkpointed already', async () => {
    await machine.action(workload.pid, 'lock');
    expect((await releaseDevices(workload.pid)).processes).toMatchObject([{ isCheckpointed: true }]);
    expect((await releaseDevices(workload.pid)).processes).toMatchObject([{ isCheckpointed: true }]);
    expect(await machine.state(workload.pid)).toBe('checkpointed');
  });
});

describe('stopProcess', () => {
  it('ends the tree', async () => {
    const tree = readProcessTree(workload.pid).map(({ pid }) => pid);
    const result = await stopProcess(workload.pid);
    expect(result).toMatchObject({
      pid: workload.pid,
      processes: [{ pid: workload.pid, isCheckpointed: true }],
      reason: undefined,
    });
    expect(tree.filter(isAlive)).toEqual([]);
    await workload.ended();
  });

  it('kills after the deadline when GPU work does not end', async () => {
    expect(await workload.ask('spin start')).toContain('ok');
    const start = performance.now();
    const { processes } = await stopProcess(workload.pid, { timeoutMs: 300 });
    expect(performance.now() - start).toBeLessThan(5000);
    expect(processes).toMatchObject([{ isCheckpointed: false }]);
    expect(processes[0]?.reason).toMatch(/^the driver's lock: /);
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('kills a stopped process, in which the driver cannot work', async () => {
    process.kill(workload.pid, 'SIGSTOP');
    const tids = readdirSync(`/proc/${workload.pid}/task`).map(Number);
    await waitUntil(() => tids.every((tid) => readThreadState(workload.pid, tid) === 'T'));
    const { processes } = await stopProcess(workload.pid);
    expect(processes[0]?.reason).toMatch(/restore thread \d+ of \d+ is stopped/);
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('kills a process without CUDA, and refuses one that does not exist', async () => {
    const sleeper = execFile('sleep', ['1000']);
    const pid = sleeper.pid ?? 0;
    expect((await stopProcess(pid)).processes).toEqual([]);
    expect(isAlive(pid)).toBe(false);
    await expect(stopProcess(pid)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: `there is no process ${pid}`,
    });
    expect(isAlive(workload.pid)).toBe(true);
  });
});

it('endProgram ends a program of this process', async () => {
  await endProgram(workload);
  await workload.ended();
  await endProgram(undefined);
  expect(readStat(workload.pid)).toBeUndefined();
});

describe('criu-cuda stop', () => {
  it.each([
    ['--pid', (pid: number) => ['--pid', pid]],
    ['a word', (pid: number) => [pid]],
  ])('takes the pid as %s', async (_how, words) => {
    const { exitCode, stdout } = await stop(words(workload.pid));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(new RegExp(`stopped ${workload.pid} in `));
    expect(stdout).toContain(`checkpointed by the driver first: ${workload.pid}`);
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('finds the software driver that the process has, where none is named', async (context) => {
    if (existsSync('/dev/nvidiactl')) context.skip('this machine has an NVIDIA driver');
    const { stdout } = await stop([workload.pid], { CRIU_CUDA_DRIVER: undefined });
    expect(stdout).toContain(`checkpointed by the driver first: ${workload.pid}`);
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('says nothing else about a tree of many processes', async () => {
    const shell = execFile('sh', ['-c', `${'sleep 1000 & '.repeat(12)} wait`]);
    const pid = shell.pid ?? 0;
    await waitUntil(() => readProcessTree(pid).length === 13);
    const tree = readProcessTree(pid).map((one) => one.pid);
    expect(await stop([pid])).toMatchObject({ exitCode: 0, stderr: '' });
    expect(tree.filter(isAlive)).toEqual([]);
  });

  it('says that the driver failed', async () => {
    const env = { SOFTCUDA_FAIL: `cuCheckpointProcessCheckpoint:1:${ILLEGAL_STATE}` };
    const { exitCode, stdout } = await stop(['--pid', workload.pid], env);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /was killed without that: the driver's checkpoint: cuCheckpointProcessCheckpoint.*ILLEGAL_STATE/,
    );
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('says that there is no driver', async () => {
    const { exitCode, stdout } = await stop(['--pid', workload.pid], {
      CRIU_CUDA_DRIVER: '/none/libcuda.so.1',
    });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/killed without asking the driver: .*\/none\/libcuda\.so\.1/);
    expect(isAlive(workload.pid)).toBe(false);
  });

  it('needs one pid', async () => {
    expect(await stop([])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining('stop needs <pid>') as string,
    });
    expect((await stop(['--pid', workload.pid, '1'])).exitCode).toBe(2);
    expect(isAlive(workload.pid)).toBe(true);
  });
});
