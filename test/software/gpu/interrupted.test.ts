// SPDX-License-Identifier: MIT
/** Calls of the addon that are aborted, or whose process, thread or program ends meanwhile. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { nativeBackend } from '../../../lib/native/index.ts';
import { backendNames } from '../../../lib/native/types.ts';
import { cudaResultName } from '../../../lib/gpu/cuda-results.ts';
import { DriverError, openDriver, watchState, type CheckpointDriver } from '../../../lib/gpu/index.ts';
import { softcudaLibrary } from '../../../lib/paths.ts';
import { readThreadState } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { addonScript } from '../../helpers/addon.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

let machine: Machine;
let driver: CheckpointDriver;
let workload: Workload;

beforeAll(async () => {
  machine = new Machine();
  Object.assign(process.env, machine.env);
  driver = await openDriver({ backend: 'addon' });
});
beforeEach(async () => {
  workload = await machine.start();
});
afterEach(() => workload.kill());
afterAll(() => machine.close());

/** Stops every thread of the process, so that no call on it can finish. */
async function stop(): Promise<void> {
  const { pid } = workload;
  const tid = await driver.restoreThreadId(pid);
  process.kill(pid, 'SIGSTOP');
  await waitUntil(() => readThreadState(pid, tid) === 'T', { interval: 1 });
}

/** Proves that the process is not locked: it can be locked, and its memory is unchanged. */
async function expectUnlocked(checksum: string): Promise<void> {
  await waitFor(() => driver.lock(workload.pid), { interval: 5 });
  await driver.unlock(workload.pid);
  expect(await workload.verify()).toBe(checksum);
}

describe.each(backendNames)('through the %s a lock that is given up', (backend) => {
  beforeAll(async () => {
    driver = await openDriver({ backend });
  });

  it('is undone when it succeeds anyway', async () => {
    const checksum = await workload.verify();
    await workload.ask('spin start');
    const controller = new AbortController();
    const lock = driver.lock(workload.pid, { timeoutMs: 0, signal: controller.signal });
    const reason = new Error('no longer needed');
    controller.abort(reason);
    await expect(lock).rejects.toBe(reason);
    expect(await workload.ask('spin stop')).toBe('ok');
    await expectUnlocked(checksum);
  });

  it('is not requested if the signal was aborted before', async () => {
    const lock = driver.lock(workload.pid, { signal: AbortSignal.abort(new Error('too late')) });
    await expect(lock).rejects.toThrow('too late');
    expect(await driver.state(workload.pid)).toBe('running');
  });

  it('is kept if the signal is aborted after it was taken', async () => {
    const controller = new AbortController();
    await driver.lock(workload.pid, { signal: controller.signal });
    controller.abort();
    expect(await driver.state(workload.pid)).toBe('locked');
    await driver.unlock(workload.pid);
  });
});

describe('a worker thread', () => {
  const code = (body: string): string =>
    addonScript(`const { parentPort, workerData } = require('node:worker_threads'); ${body}`);

  it('gets the same answers as the main thread', async () => {
    const body = 'parentPort.postMessage(await addon.state(driver, workerData));';
    const worker = new Worker(code(body), { eval: true, workerData: workload.pid });
    // a process that has ended before its message is read sends both at once
    const [message, exit] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    expect(message).toEqual([{ result: 0, value: 0 }]);
    expect(exit).toEqual([0]);
  });

  it('that ends while it waits for a lock leaves no lock behind', async () => {
    const checksum = await workload.verify();
    await workload.ask('spin start');
    const body = `addon.lock(driver, workerData, 0); parentPort.postMessage('waiting');`;
    const worker = new Worker(code(body), { eval: true, workerData: workload.pid });
    await once(worker, 'message');
    await worker.terminate();
    expect(await workload.ask('spin stop')).toBe('ok');
    await expectUnlocked(checksum);
  });
});

describe('a program that ends', () => {
  it('does not wait for a call that cannot finish', async () => {
    await stop();
    const body = 'addon.lock(driver, Number(process.argv[1]), 0); setImmediate(() => process.exit(7));';
    const child = spawn(process.execPath, ['-e', addonScript(body), String(workload.pid)]);
    expect(await once(child, 'exit')).toEqual([7, null]);
  });

  it('waits for a call whose promise it awaits', async () => {
    const body = `console.log(JSON.stringify(await addon.state(driver, Number(process.argv[1]))));`;
    const child = spawn(process.execPath, ['-e', addonScript(body), String(workload.pid)]);
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    expect(JSON.parse(text.toString())).toEqual({ result: 0, value: 0 });
  });
});

describe.each([
  ['it has only loaded the addon', ''],
  ['a question', 'addon.state(driver, pid);'],
  [
    'a question about GPUs',
    `addon.devices([process.env.CRIU_CUDA_DRIVER.replace('libcuda', 'libnvidia-ml')]);`,
  ],
  [
    'waiting for the end of a process',
    'for (let i = 0; i < 8; i++) addon.onReadable(addon.pidfdOpen(pid), () => {});',
  ],
  [
    'a wait that was stopped',
    'for (let i = 0; i < 8; i++) addon.onReadable(addon.pidfdOpen(pid), () => {})();',
  ],
  ['reading memory', 'for (let i = 0; i < 8; i++) addon.memoryPages(pid, addon.newCancel());'],
  [
    'all at once',
    'for (let i = 0; i < 100; i++) { addon.state(driver, pid); addon.restoreThreadId(driver, pid); }',
  ],
])('%s', (_, body) => {
  it('does not delay the end of a program', async () => {
    const code = `const pid = Number(process.argv[1]); ${body} process.exit(7);`;
    const child = spawn(process.execPath, ['-e', addonScript(code), String(workload.pid)]);
    expect(await once(child, 'exit')).toEqual([7, null]);
  });

  it('does not delay the end of worker threads', async () => {
    const code = `const { parentPort, workerData: pid } = require('node:worker_threads'); ${body} parentPort.postMessage(0);`;
    const workers = [0, 1].map(() => new Worker(addonScript(code), { eval: true, workerData: workload.pid }));
    await Promise.all(workers.map((worker) => once(worker, 'message')));
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(await driver.state(workload.pid)).toBe('running');
  });
});

it('a checkpoint that a worker started is completed even if the worker ends', async () => {
  const checksum = await workload.verify();
  await driver.lock(workload.pid);
  const code = `const { parentPort, workerData: pid } = require('node:worker_threads');
    addon.checkpoint(driver, pid); parentPort.postMessage(0);`;
  const worker = new Worker(addonScript(code), { eval: true, workerData: workload.pid });
  await once(worker, 'message');
  await worker.terminate();
  await waitFor(async () => {
    expect(await driver.state(workload.pid)).toBe('checkpointed');
  });
  await driver.restore(workload.pid);
  await driver.unlock(workload.pid);
  expect(await workload.verify()).toBe(checksum);
});

describe.each(backendNames)('through the %s a process that ends in the middle of', (backend) => {
  it.each(['lock', 'checkpoint', 'restore', 'unlock'] as const)('%s', async (step) => {
    const { calls } = await nativeBackend(backend).openDriver(softcudaLibrary());
    const steps = {
      lock: () => calls.lock(workload.pid, 0),
      checkpoint: () => calls.checkpoint(workload.pid),
      restore: () => calls.restore(workload.pid, []),
      unlock: () => calls.unlock(workload.pid),
    };
    const before = { lock: 0, checkpoint: 1, restore: 2, unlock: 1 }[step];
    if (before >= 1) await driver.lock(workload.pid);
    if (before >= 2) await driver.checkpoint(workload.pid);
    await stop();
    const call = steps[step]();
    // the request has to be on its way
    const again = calls.state(workload.pid);
    expect(await again).toEqual({ result: 0, value: before });
    await workload.kill();
    expect(cudaResultName(await call)).toBe('CUDA_ERROR_OPERATING_SYSTEM');
    await expect(driver.state(workload.pid)).rejects.toThrow(DriverError);
  });
});

describe.each(backendNames)('through the %s a watch', (backend) => {
  beforeAll(async () => {
    driver = await openDriver({ backend });
  });

  it('tells nothing any more once it is closed', async () => {
    const seen: string[] = [];
    const controller = new AbortController();
    const watcher = watchState(driver, workload.pid, { intervalMs: 1, signal: controller.signal });
    watcher.on('change', ({ state }) => seen.push(state));
    watcher.on('end', () => seen.push('end'));
    watcher.on('error', (error) => seen.push(error.message));
    await waitFor(() => {
      expect(seen).toEqual(['running']);
    });
    controller.abort();
    await driver.lock(workload.pid);
    await workload.kill();
    await expect(driver.state(workload.pid)).rejects.toThrow(DriverError);
    expect(seen).toEqual(['running']);
  });

  it('ends for a process that never existed, and fails for one without CUDA', async () => {
    const { pid } = workload;
    await workload.kill();
    await once(watchState(driver, pid), 'end');
    const watcher = watchState(driver, process.pid);
    const error = await new Promise((resolve) => watcher.once('error', resolve));
    expect(error).toMatchObject({ code: 'ERR_DRIVER_NOT_INITIALIZED' });
  });
});
