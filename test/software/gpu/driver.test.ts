// SPDX-License-Identifier: MIT
/** Both ways to native code against the software driver: GPUs, processes, the steps, and what goes wrong. */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EnvironmentError, UsageError } from '../../../lib/errors.ts';
import {
  DriverError,
  listCudaProcesses,
  listGpuProcesses,
  listGpus,
  NvmlError,
  openDriver,
  watchState,
  type CheckpointDriver,
  type CudaProcess,
} from '../../../lib/gpu/index.ts';
import { nativeBackend, type BackendName } from '../../../lib/native/index.ts';
import { backendNames } from '../../../lib/native/types.ts';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot, softcudaLibrary } from '../../../lib/paths.ts';
import { readThreadState } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { cudaVersion } from '../../helpers/driver.ts';
import { holdEnd, inNamespace } from '../../helpers/held-end.ts';
import { Machine, startPlainProcess } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const MIB = 2 ** 20;
/** softcuda has no MIG devices. */
const noMig = { gpuInstanceId: null, computeInstanceId: null };
let machine: Machine;
let driver: CheckpointDriver;
let workload: Workload;

beforeAll(() => {
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  // the libraries in this process read this once
  Object.assign(process.env, machine.env);
});
beforeEach(async () => {
  workload = await machine.start();
});
afterEach(() => workload.kill());
afterAll(() => machine.close());

let options: { backend: BackendName };

/** Other programs on this machine may use a GPU, too. */
async function ours(pid: number): Promise<CudaProcess | undefined> {
  return (await listCudaProcesses(driver, options)).find((one) => one.pid === pid);
}

describe.each(backendNames)('through the %s', (backend) => {
  beforeAll(async () => {
    options = { backend };
    driver = await openDriver(options);
  });

  it('the driver that CRIU_CUDA_DRIVER names is opened', () => {
    expect(driver).toMatchObject({ path: softcudaLibrary(), version: cudaVersion });
  });

  describe('GPUs', () => {
    it('have their names, memory and address', async () => {
      const report = await listGpus(options);
      expect(report.cudaVersion).toBe(cudaVersion);
      expect(report.library).toMatch(/softcuda\/libnvidia-ml\.so\.1$/);
      expect(report.gpus).toMatchObject([
        { index: 0, uuid: 'GPU-736f6674-6375-6461-0000-000100000000', pciAddress: 'ffff:00:00.0' },
        { index: 1, uuid: 'GPU-736f6674-6375-6461-0000-000100000001', linkGeneration: null },
      ]);
      const [first, second] = report.gpus.map((gpu) => gpu.memory);
      expect(first).toEqual({ totalBytes: 256 * MIB, usedBytes: 28 * MIB, freeBytes: 228 * MIB });
      expect(second?.usedBytes).toBe(0);
    });

    it('have the processes on them, with what each holds', async () => {
      const { pid } = workload;
      const processes = await listGpuProcesses(options);
      const [gpu] = (await listGpus(options)).gpus;
      expect(processes).toContainEqual({ pid, deviceUuid: gpu?.uuid, usedBytes: 28 * MIB, ...noMig });
      await driver.lock(pid);
      await driver.checkpoint(pid);
      expect(await listGpuProcesses(options)).toEqual([]);
      expect((await listGpus(options)).gpus[0]?.memory?.usedBytes).toBe(0);
    });

    it('a failing call of NVML is named', async () => {
      process.env.SOFTCUDA_NVML_FAIL = 'nvmlDeviceGetCount_v2:15';
      const failure = listGpus(options);
      await expect(failure).rejects.toThrow(NvmlError);
      await expect(failure).rejects.toMatchObject({
        code: 'ERR_NVML_GPU_IS_LOST',
        call: 'nvmlDeviceGetCount_v2',
      });
      delete process.env.SOFTCUDA_NVML_FAIL;
      expect((await listGpus(options)).gpus).toHaveLength(2);
    });
  });

  describe('the steps', () => {
    it('take a process through its states and back, with its memory, and tell', async () => {
      const { pid } = workload;
      const checksum = await workload.verify();
      const seen: string[] = [];
      const watcher = watchState(driver, pid, { intervalMs: 1 });
      watcher.on('change', ({ state }) => seen.push(state));
      const until = (...states: string[]) =>
        waitFor(() => {
          expect(seen).toEqual(states);
        });
      await until('running');
      await driver.lock(pid, { timeoutMs: 1000 });
      await until('running', 'locked');
      await driver.checkpoint(pid);
      await until('running', 'locked', 'checkpointed');
      expect(await ours(pid)).toMatchObject({ state: 'checkpointed', devices: [] });
      await driver.restore(pid);
      await until('running', 'locked', 'checkpointed', 'locked');
      await driver.unlock(pid);
      await until('running', 'locked', 'checkpointed', 'locked', 'running');
      expect(await workload.verify()).toBe(checksum);
      const ended = new Promise((resolve) =>
        watcher.once('end', () => {
          resolve(true);
        }),
      );
      await workload.kill();
      expect(await ended).toBe(true);
    });

    it('move a process to another GPU', async () => {
      const { pid } = workload;
      const checksum = await workload.verify();
      const [first, second] = (await listGpus(options)).gpus.map((gpu) => gpu.uuid);
      if (first === undefined || second === undefined) throw new Error('two devices are there');
      await driver.lock(pid);
      await driver.checkpoint(pid);
      await driver.restore(pid, {
        deviceMap: [
          { from: first, to: second },
          { from: second, to: first },
        ],
      });
      await driver.unlock(pid);
      expect(await workload.verify()).toBe(checksum);
      const processes = await listGpuProcesses(options);
      expect(processes).toContainEqual({ pid, deviceUuid: second, usedBytes: 28 * MIB, ...noMig });
    });

    it('name the call, the result and what can be done when the order is wrong', async () => {
      const { pid } = workload;
      const failure = driver.checkpoint(pid);
      await expect(failure).rejects.toThrow(DriverError);
      await expect(failure).rejects.toMatchObject({
        message: `cuCheckpointProcessCheckpoint of ${pid}: CUDA_ERROR_ILLEGAL_STATE (401)`,
        hint: expect.stringContaining('lock, checkpoint, restore, unlock') as string,
        code: 'ERR_DRIVER_ILLEGAL_STATE',
        resultName: 'CUDA_ERROR_ILLEGAL_STATE',
        result: 401,
        pid,
      });
    });

    it('give up a lock when GPU work does not end in time', async () => {
      const { pid } = workload;
      await workload.ask('spin start');
      await expect(driver.lock(pid, { timeoutMs: 50 })).rejects.toMatchObject({
        code: 'ERR_DRIVER_NOT_READY',
      });
      expect(await driver.state(pid)).toBe('running');
      expect(await workload.ask('spin stop')).toBe('ok');
    });

    it('refuse a GPU that is not there', async () => {
      const { pid } = workload;
      const [gpu] = (await listGpus(options)).gpus;
      await driver.lock(pid);
      await driver.checkpoint(pid);
      const missing = 'GPU-00000000-0000-0000-0000-0000000000ff';
      const restore = driver.restore(pid, { deviceMap: [{ from: gpu?.uuid ?? '', to: missing }] });
      await expect(restore).rejects.toThrow(DriverError);
    });

    it('do not hold up the event loop, and many wait at once', async () => {
      const { pid } = workload;
      await workload.ask('spin start');
      let ticks = 0;
      const timer = setInterval(() => (ticks += 1), 5);
      const locks = [200, 200, 200, 200, 200, 200].map((timeoutMs) => driver.lock(pid, { timeoutMs }));
      const results = await Promise.allSettled(locks);
      clearInterval(timer);
      expect(results.map(({ status }) => status)).toEqual(locks.map(() => 'rejected'));
      expect(ticks).toBeGreaterThan(2); // none while a call holds it up
      await workload.ask('spin stop');
      expect(await driver.state(pid)).toBe('running');
    });

    it('a thousand questions leave nothing behind', async () => {
      const { pid } = workload;
      const openFiles = (): number => readdirSync('/proc/self/fd').length;
      const ask = (times: number) => Promise.all(Array.from({ length: times }, () => driver.state(pid)));
      await ask(200);
      const before = { files: openFiles(), rss: process.memoryUsage.rss() };
      for (let round = 0; round < 5; round++) await ask(200);
      expect(openFiles()).toBe(before.files);
      expect(process.memoryUsage.rss() - before.rss).toBeLessThan(32 * MIB);
    });
  });

  describe('what cannot be done', () => {
    it('a library that does not exist, or is not a driver', async () => {
      const native = nativeBackend(options.backend);
      const open = (path: string) => openDriver({ ...options, path });
      const reason = 'cannot open shared object file: No such file or directory';
      await expect(open('/no/such/libcuda.so.1')).rejects.toThrow(EnvironmentError);
      await expect(open('/no/such/libcuda.so.1')).rejects.toMatchObject({
        message: `driver "/no/such/libcuda.so.1" cannot be opened: /no/such/libcuda.so.1: ${reason}`,
        missing: [{ what: '/no/such/libcuda.so.1' }],
      });
      await expect(open('libm.so.6')).rejects.toMatchObject({
        message: 'libm.so.6 has no cuInit (driver API 0); install driver 570 (API 12080) or newer',
        missing: [{ what: 'checkpoint calls of libm.so.6' }],
      });
      await expect(
        native.listGpus(['/no/such/libnvidia-ml.so.1', '/nor/such/libnvidia-ml.so.1']),
      ).rejects.toMatchObject({
        kind: 'open',
        message: `/no/such/libnvidia-ml.so.1: ${reason}`,
      });
      await expect(native.listGpus(['libm.so.6'])).rejects.toThrow('libm.so.6 has no nvmlInit_v2');
    });

    it('a machine without libcuda and NVML', async (context) => {
      const script = `
        const { listGpus, openDriver } = await import(process.argv[1]);
        const told = (error) => [error.code, error.missing?.[0].what, error.hint];
        console.log(JSON.stringify([await listGpus().catch(told), await openDriver().catch(told)]));`;
      const library = join(projectRoot, 'dist', 'api', 'gpu.js');
      const env = { CRIU_CUDA_DRIVER: '', CRIU_CUDA_NATIVE: options.backend };
      const words = ['--input-type=module', '-e', script, library];
      const { stdout, stderr } = await execResult(process.execPath, words, { env });
      const [nvml, cuda] = JSON.parse(stdout || `"${stderr}"`) as unknown[];
      if (!Array.isArray(nvml)) context.skip('this machine has an NVIDIA driver');
      expect(nvml).toEqual([
        'ERR_ENVIRONMENT',
        'libnvidia-ml.so.1',
        expect.stringContaining('NVIDIA driver'),
      ]);
      expect(cuda).toEqual(['ERR_ENVIRONMENT', 'libcuda.so.1', expect.stringContaining('570 or newer')]);
      for (const told of [nvml, cuda] as unknown[][])
        expect(told[2]).toContain(`for the software driver set CRIU_CUDA_DRIVER to ${softcudaLibrary()}`);
    });

    it('a process without CUDA, one that has ended, and what is not a pid', async () => {
      const plain = startPlainProcess();
      await expect(driver.state(plain.pid)).rejects.toMatchObject({ code: 'ERR_DRIVER_NOT_INITIALIZED' });
      process.kill(plain.pid, 'SIGKILL');
      await plain.ended;
      await expect(driver.lock(plain.pid)).rejects.toThrow(DriverError);
      for (const pid of [0, -1, 1.5, NaN, 2 ** 31])
        await expect(driver.state(pid)).rejects.toThrow(UsageError);
      for (const timeoutMs of [-1, 0.5, 2 ** 32]) {
        await expect(driver.lock(workload.pid, { timeoutMs })).rejects.toThrow(UsageError);
      }
    });

    it('a process that this user may not look at', async (context) => {
      if (process.geteuid?.() !== 0) context.skip('changing the user needs root');
      const script = `
        const { openDriver } = await import(process.argv[1]);
        const driver = await openDriver({ backend: process.argv[3] });
        process.setuid(65534);
        await driver.state(Number(process.argv[2])).catch(({ code }) => console.log(code));`;
      const library = join(projectRoot, 'dist', 'api', 'gpu.js');
      const words = ['--input-type=module', '-e', script, library, String(workload.pid), options.backend];
      const { stdout, stderr } = await execResult(process.execPath, words);
      expect(stdout, stderr).toBe('ERR_DRIVER_OPERATING_SYSTEM');
    });

    it('a process that is ending, which a watch tells when it has ended', async () => {
      const ending = await machine.start({ under: inNamespace });
      const held = await holdEnd(ending.pid);
      onTestFinished(async () => {
        await held.release();
        await ending.kill();
      });
      const watcher = watchState(driver, held.pid, { intervalMs: 1 });
      const errors: Error[] = [];
      watcher.on('error', (error) => errors.push(error));
      await once(watcher, 'change');
      const ended = once(watcher, 'end');
      await held.kill();
      const hint = expect.stringMatching(/no such process/) as string;
      for (const call of ['state', 'restoreThreadId', 'lock', 'checkpoint', 'restore', 'unlock'] as const)
        await expect(driver[call](held.pid)).rejects.toMatchObject({
          code: 'ERR_DRIVER_OPERATING_SYSTEM',
          hint,
        });
      await Promise.race([once(watcher, 'end'), delay(1000)]); // longer than a watch waits for others
      await held.release();
      await ended;
      expect(errors).toEqual([]);
    });

    it('one whose restore thread is stopped', async () => {
      const { pid } = workload;
      const tid = await driver.restoreThreadId(pid);
      process.kill(pid, 'SIGSTOP');
      await waitUntil(() => readThreadState(pid, tid) === 'T', { interval: 1 });
      await expect(driver.state(pid)).rejects.toMatchObject({ code: 'ERR_DRIVER_THREAD_STOPPED' });
      expect(await ours(pid)).toMatchObject({ state: 'stopped' });
      process.kill(pid, 'SIGCONT');
      expect(await driver.state(pid)).toBe('running');
    });
  });
});
