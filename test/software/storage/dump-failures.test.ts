// SPDX-License-Identifier: MIT
/**
 * Everything that can fail in a dump through custom storage: the program runs on with the same bytes, or it ends
 * because its memory is nowhere. Nothing is left behind.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { readStat } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import type { CriuRun } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let workload: Workload;
let before: string;
beforeEach(async () => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615' });
  workload = await machine.start();
  before = await snapshot(workload);
});
afterEach(() => machine.close());

/** Tries a dump that must go through custom storage. */
function tryDump(env: Record<string, string> = {}, args: readonly string[] = []): Promise<CriuRun> {
  return machine.tryDump(workload, { env: { CRIU_CUDA_STORAGE: 'driver', ...env }, args });
}

async function expectRunningAsBefore(dumped: CriuRun): Promise<void> {
  expect(dumped.exitCode, errorsIn(dumped.log)).not.toBe(0);
  // it answers once the watcher has returned it
  expect(await snapshot(workload)).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');
  await machine.expectNothingLeft();
}

/** The same when the dump itself has failed, so that none of its files may stay. */
async function expectNoTrace(dumped: CriuRun): Promise<void> {
  await expectRunningAsBefore(dumped);
  expect(machine.ownFiles()).toEqual([]);
}

async function expectNextDumpWorks(): Promise<void> {
  const dumped = await tryDump();
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  const restored = await machine.tryRestore();
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
}

describe('the pool, which makes the calls', () => {
  const steps = [
    ['starts', 'cuInit:1'],
    ['makes a context', 'cuDevicePrimaryCtxRetain:1'],
    ['calls Checkpoint', 'cuCheckpointProcessCheckpoint:1'],
    ['copies', 'cuMemcpyDtoHAsync:1'],
    ['calls Complete', 'cuCheckpointOperationComplete:1'],
  ] as const;

  it.each(steps)('is killed while it %s', async (_name, call) => {
    await expectNoTrace(await tryDump({ SOFTCUDA_FAIL: `${call}:kill` }));
    await expectNextDumpWorks();
  });

  it.each(['cuInit', 'cuCheckpointProcessCheckpoint', 'cuMemcpyDtoHAsync'])(
    'gets an error of %s',
    async (call) => {
      const dumped = await tryDump({ SOFTCUDA_FAIL: `${call}:1:999` });
      expect(errorsIn(dumped.log)).toMatch(/cuda-poold: .*(CUDA|driver)/);
      await expectNoTrace(dumped);
      await expectNextDumpWorks();
    },
  );

  it('tries again to make a context', async () => {
    const dumped = await tryDump({ SOFTCUDA_FAIL: 'cuDevicePrimaryCtxRetain:1:2' });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  });

  it('gets an error of a copy after the driver has taken it', async () => {
    const dumped = await tryDump({ SOFTCUDA_FAIL: 'cuEventSynchronize:1:700' });
    expect(errorsIn(dumped.log)).toContain('CUDA_ERROR_ILLEGAL_ADDRESS');
    await expectNoTrace(dumped);
  });

  it('is killed while it brings the memory back', async () => {
    const dumped = await tryDump(
      { SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:1:kill' },
      machine.actionScript('post-dump', 'exit 1'),
    );
    await expectRunningAsBefore(dumped);
  });

  it('hangs in the call: it is ended at the deadline, and the driver copies to host memory', async () => {
    const env = {
      SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:1:hang',
      CRIU_CUDA_STORAGE: 'auto',
      CRIU_CUDA_STEP_TIMEOUT_MS: '5000',
      CRIU_CUDA_COPY_TIMEOUT_MS: '500',
    };
    const dumped = await tryDump(env);
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    expect(dumped.status).toContainEqual(expect.objectContaining({ event: 'fallback', to: 'driver' }));
    expect(machine.manifests()).toEqual([]);
    const restored = await machine.tryRestore();
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    expect(await snapshot(workload)).toBe(before);
    await machine.expectNothingLeft();
  });

  it('is killed, and the driver never notices: the program ends, its memory is out of reach', async () => {
    await workload.kill();
    workload = await machine.start({ env: { SOFTCUDA_ABANDONED: 'stuck' } });
    const dumped = await tryDump({
      SOFTCUDA_FAIL: 'cuMemcpyDtoHAsync:1:kill',
      CRIU_CUDA_UNDO_TIMEOUT_MS: '500',
    });
    expect(dumped.exitCode).not.toBe(0);
    await waitUntil(() => (readStat(workload.pid)?.state ?? 'Z') === 'Z');
    await machine.expectNothingLeft();
  });
});

describe('the disk', () => {
  it('is full: the memory is kept meanwhile, and the program gets it back', async () => {
    const small = join(machine.dir, 'small');
    mkdirSync(small);
    await execResult('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', small]);
    try {
      const dumped = await machine.tryDump(workload, {
        imagesDir: small,
        env: { CRIU_CUDA_STORAGE: 'driver', CRIU_CUDA_FORCE: '1' },
      });
      expect(dumped.exitCode).not.toBe(0);
      expect(errorsIn(dumped.log)).toContain('No space left on device');
      expect(await snapshot(workload)).toBe(before);
      expect(await machine.state(workload.pid)).toBe('running');
      expect(machine.ownFiles(small)).toEqual([]);
      await machine.expectNothingLeft();
    } finally {
      // busy until the last background process of criu has ended; machine.close() cannot remove a mount point
      await expect.poll(async () => (await execResult('umount', [small])).exitCode).toBe(0);
    }
  });
});

describe('criu', () => {
  it('has a failing post-dump script, after the memory was saved', async () => {
    await expectRunningAsBefore(await tryDump({}, machine.actionScript('post-dump', 'exit 1')));
    await expectNextDumpWorks();
  });

  it('is killed after the memory was saved: the watcher has it brought back', async () => {
    await expectRunningAsBefore(await tryDump({}, machine.actionScript('post-dump', 'kill -9 $PPID')));
    await expectNextDumpWorks();
  });
});

it('refuses a driver without custom storage if it is required', async () => {
  await machine.close();
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '610' });
  workload = await machine.start();
  before = await snapshot(workload);
  const dumped = await tryDump();
  expect(errorsIn(dumped.log)).toContain('custom storage, which begins with driver 615');
  // not left to the driver's Checkpoint of a process that is not locked
  expect(errorsIn(dumped.log)).not.toContain('CUDA_ERROR');
  expect(dumped.status.filter(({ event }) => event === 'step')).toEqual([]);
  await expectNoTrace(dumped);
});
