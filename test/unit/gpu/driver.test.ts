// SPDX-License-Identifier: MIT
/** The bindings against the software driver and a process that uses it. */
import { execFileSync } from 'node:child_process';
import koffi from 'koffi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { structs } from '../../../lib/native/koffi-driver.ts';
import { DriverError, openDriver, type CheckpointDriver } from '../../../lib/gpu/index.ts';
import { EnvironmentError } from '../../../lib/errors.ts';
import { softcudaLibrary } from '../../../lib/paths.ts';
import { readThreadState } from '../../../lib/process/index.ts';
import { Machine, startPlainProcess } from '../../helpers/machine.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
let driver: CheckpointDriver;
let workload: Workload;

beforeEach(async () => {
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  // the driver in this process has to see the same devices
  Object.assign(process.env, machine.env);
  driver = openDriver(softcudaLibrary());
  workload = await machine.start();
});
afterEach(() => machine.close());

function deviceUuid(device: number): string {
  const script = `
    import koffi from 'koffi';
    const cuda = koffi.load(process.env.CRIU_CUDA_DRIVER);
    const uuid = Buffer.alloc(16);
    const results = [
      cuda.func('int cuInit(unsigned int)')(0),
      cuda.func('int cuDeviceGetUuid(uint8_t *uuid, int device)')(uuid, ${device}),
    ];
    if (results.some((result) => result !== 0)) throw new Error(String(results));
    console.log(uuid.toString('hex'));
    process.exit(0);`;
  const hex = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  }).trim();
  return `GPU-${hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')}`;
}

describe('the ABI', () => {
  it('has the layout of cuda.h', () => {
    expect(koffi.sizeof(structs.lockArgs)).toBe(64);
    expect(koffi.sizeof(structs.restoreArgs)).toBe(64);
    expect(koffi.sizeof(structs.gpuPair)).toBe(32);
    expect(koffi.offsetof(structs.restoreArgs, 'gpuPairsCount')).toBe(8);
    expect(koffi.offsetof(structs.restoreArgs, 'reserved1')).toBe(56);
  });
});

describe('the steps', () => {
  it('take a process through its states and back, with its memory', async () => {
    const { pid } = workload;
    const checksum = await workload.verify();
    expect(driver.version).toBe(13000);
    expect(await driver.state(pid)).toBe('running');
    await driver.lock(pid, { timeoutMs: 1000 });
    expect(await driver.state(pid)).toBe('locked');
    await driver.checkpoint(pid);
    expect(await driver.state(pid)).toBe('checkpointed');
    await driver.restore(pid);
    expect(await driver.state(pid)).toBe('locked');
    await driver.unlock(pid);
    expect(await driver.state(pid)).toBe('running');
    expect(await workload.verify()).toBe(checksum);
  });

  it('name the call, the result and what can be done when the order is wrong', async () => {
    const { pid } = workload;
    const failure = driver.checkpoint(pid);
    await expect(failure).rejects.toThrow(DriverError);
    await expect(failure).rejects.toThrow(
      `cuCheckpointProcessCheckpoint of ${pid}: CUDA_ERROR_ILLEGAL_STATE (401)`,
    );
    await expect(failure).rejects.toMatchObject({ code: 'ERR_DRIVER_ILLEGAL_STATE', result: 401, pid });
  });

  it('give up a lock when GPU work does not end in time', async () => {
    const { pid } = workload;
    await workload.ask('spin start');
    await expect(driver.lock(pid, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'ERR_DRIVER_NOT_READY' });
    expect(await driver.state(pid)).toBe('running');
    expect(await workload.ask('spin stop')).toBe('ok');
  });

  it('do not hold up the event loop', async () => {
    const { pid } = workload;
    await workload.ask('spin start');
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 5);
    await expect(driver.lock(pid, { timeoutMs: 200 })).rejects.toThrow(DriverError);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
    await workload.ask('spin stop');
  });

  it('move a process to another GPU', async () => {
    const { pid } = workload;
    const checksum = await workload.verify();
    const [first, second] = [deviceUuid(0), deviceUuid(1)];
    await driver.lock(pid);
    await driver.checkpoint(pid);
    const deviceMap = [
      { from: first, to: second },
      { from: second, to: first },
    ];
    await driver.restore(pid, { deviceMap });
    await driver.unlock(pid);
    expect(await workload.verify()).toBe(checksum);
  });

  it('refuse a GPU that is not there', async () => {
    const { pid } = workload;
    await driver.lock(pid);
    await driver.checkpoint(pid);
    const missing = 'GPU-00000000-0000-0000-0000-0000000000ff';
    await expect(driver.restore(pid, { deviceMap: [{ from: deviceUuid(0), to: missing }] })).rejects.toThrow(
      DriverError,
    );
  });
});

describe('processes the driver cannot work on', () => {
  it('a process without CUDA', async () => {
    const plain = startPlainProcess();
    await expect(driver.state(plain.pid)).rejects.toMatchObject({ code: 'ERR_DRIVER_NOT_INITIALIZED' });
    process.kill(plain.pid, 'SIGKILL');
    await plain.ended;
    await expect(driver.state(plain.pid)).rejects.toThrow(DriverError);
  });

  it('one whose restore thread is stopped is refused instead of waited for', async () => {
    const { pid } = workload;
    process.kill(pid, 'SIGSTOP');
    const tid = await driver.restoreThreadId(pid);
    await waitUntil(() => readThreadState(pid, tid) === 'T', { interval: 1 });
    const failure = driver.state(pid);
    await expect(failure).rejects.toMatchObject({ code: 'ERR_DRIVER_THREAD_STOPPED' });
    process.kill(pid, 'SIGCONT');
    expect(await driver.state(pid)).toBe('running');
  });
});

describe('openDriver', () => {
  it('names a library that does not exist, and one that is not a driver', () => {
    expect(() => openDriver('/no/such/libcuda.so.1')).toThrow(EnvironmentError);
    expect(() => openDriver('/no/such/libcuda.so.1')).toThrow('CRIU_CUDA_DRIVER "/no/such/libcuda.so.1"');
    expect(() => openDriver('libm.so.6')).toThrow('libm.so.6 has no cuDriverGetVersion');
  });
});
