// SPDX-License-Identifier: MIT
/**
 * Everything that can end in the middle of a restore with variant `parallel`, at each step: either the application runs
 * with its bytes, or nothing of it is left, the reason is in the status file, and the images can still be restored.
 */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManifestSchema } from '../../../lib/images/gen/image_pb.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readStat, waitForExit } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { changeManifest } from '../../helpers/gpu-image.ts';
import type { CriuOptions, CriuRun, StatusEvent } from '../../helpers/machine.ts';
import { errorsIn, ParallelMachine, snapshot, testTool } from '../../helpers/parallel.ts';
import { waitUntil } from '../../helpers/wait.ts';

const MIDDLE = 2 << 20;

let machine: ParallelMachine;
let workload: Workload;
let before: string;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DEVICES: '2' });
});
afterEach(() => machine.close());

async function startAndDump(
  env: Record<string, string> = {},
  args?: string[],
  dumpEnv: Record<string, string> = {},
): Promise<void> {
  workload = await machine.startIntercepted(env, args);
  before = await snapshot(workload);
  const dumped = await machine.tryDump(workload, { env: dumpEnv });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  await machine.expectNothingLeft();
}

async function expectRunningAsBefore(restored: CriuRun): Promise<void> {
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');
  await machine.expectNothingLeft();
}

/** Neither the process nor its pool is left. */
async function expectGone(): Promise<void> {
  await expect.poll(() => readStat(workload.pid)?.state ?? 'gone').toMatch(/^(Z|gone)$/);
  await machine.kill(workload.pid);
  await machine.expectNothingLeft();
}

async function expectStillRestorable(): Promise<void> {
  await expectRunningAsBefore(await machine.tryRestore());
}

/** The latest outcome of the application in the status file. */
async function reasonOf(run: CriuRun): Promise<string> {
  const failed = (events: StatusEvent[]): StatusEvent | undefined =>
    events.find((e) => (e.event === 'attach' && e.result !== 0) || e.outcome === 'failed');
  let found = failed(run.status);
  await expect.poll(() => (found ??= failed(machine.readStatus()))).toBeDefined();
  return found?.reason ?? '';
}

async function expectRefused(options: CriuOptions, reason: RegExp): Promise<void> {
  const restored = await machine.tryRestore({ keepStatus: true, ...options });
  expect(await reasonOf(restored), errorsIn(restored.log)).toMatch(reason);
  await expectGone();
  machine.takeStatus();
}

describe('the pool', () => {
  const steps = [
    ['allocates', 'cuMemCreate:1', /bytes on device 0/],
    ['maps', 'cuMemMap:1', /cannot map device memory/],
    ['loads', 'cuMemcpyHtoDAsync:2', /CUDA_ERROR_UNKNOWN|cuMemcpy/],
    ['exports', 'cuMemExportToShareableHandle:1', /cannot export an allocation/],
  ] as const;

  it.each(steps)('is killed while it %s: another one takes over', async (_name, call) => {
    await startAndDump();
    await expectRunningAsBefore(await machine.tryRestore({ env: { SOFTCUDA_FAIL: `${call}:kill` } }));
  });

  it.each([
    ['criu does not wait', '0', /there is no pool to return its device memory/],
    ['criu waits', '1', /load of its device memory: there is no pool to load it/],
  ])('is killed, and so is each one that takes over: %s', async (_name, wait, reason) => {
    await startAndDump();
    // The plugin may replace one, and the watcher another.
    const kills = [1, 2, 3].map((nth) => `cuMemcpyHtoDAsync:${nth}:kill`);
    // with one thread: a second one could reach the next call before its process is gone
    await expectRefused(
      { env: { SOFTCUDA_FAIL: kills.join(','), CRIU_CUDA_STREAMS: '1', CRIU_CUDA_WAIT: wait } },
      reason,
    );
    await expectStillRestorable();
  });

  it.each([['starts', 'cuInit:1', /cannot initialize the CUDA driver/] as const, ...steps])(
    'gets an error of the driver while it %s',
    async (_name, call, reason) => {
      await startAndDump();
      // what is exported beside the copy is tried again when a process needs it
      const again = call.replace(/1$/, '2');
      await expectRefused({ env: { SOFTCUDA_FAIL: `${call}:999,${again}:999` } }, reason);
      await expectStillRestorable();
    },
  );

  it('does not find enough memory on the device', async () => {
    await startAndDump();
    const other = await machine.start({ args: ['--alloc', '225M'] });
    // The second process, pool or driver.
    await expectRefused({}, /bytes on device 0: Cannot allocate memory|Restore: CUDA_ERROR_OUT_OF_MEMORY/);
    await other.kill();
    await expectStillRestorable();
  });

  it('cannot read a stripe', async () => {
    await startAndDump({}, undefined, { CRIU_CUDA_REMAP: '0' });
    const env = { LD_PRELOAD: testTool('fail-io.so'), CCR_FAIL_IO: 'pread:3' };
    await expectRefused({ env }, /cuda-\d+-\d+\.img.*Input\/output error/);
    await expectStillRestorable();
  });

  it('does not have the device', async () => {
    await startAndDump({}, ['--alloc', '4Mx2', '--device', '1']);
    await expectRefused(
      { env: { SOFTCUDA_DEVICES: '1' } },
      new RegExp(`cuda-${workload.pid}.img: devices: this machine has no `),
    );
    await expectStillRestorable();
  });
});

/** Changes one byte of a stripe, in the middle of its first chunk. @returns how to undo it */
function damageStripe(): () => void {
  const path = join(machine.imagesDir, machine.stripes()[0] ?? '');
  const original = readFileSync(path);
  const damaged = Buffer.from(original);
  damaged.writeUInt8(damaged.readUInt8(MIDDLE) ^ 1, MIDDLE);
  writeFileSync(path, damaged);
  return () => {
    writeFileSync(path, original);
  };
}

describe('a damaged stripe', () => {
  it('makes criu fail, and its log says why', async () => {
    await startAndDump();
    const repair = damageStripe();
    const restored = await machine.tryRestore({ keepStatus: true });
    expect(restored.exitCode).not.toBe(0);
    expect(errorsIn(restored.log)).toMatch(/load of its device memory: .*: the file is damaged; killing/);
    expect(restored.log).toContain('Restoring FAILED');
    expect(readStat(workload.pid)?.state ?? 'gone').toMatch(/^(Z|gone)$/);
    expect(await reasonOf(restored)).toMatch(/the file is damaged$/);
    await expectGone();
    machine.takeStatus();
    repair();
    await expectStillRestorable();
  });

  // whether criu fails depends on chance: the process may end while criu detaches from its last thread
  it('ends the process that takes its memory, if criu does not wait', async () => {
    await startAndDump();
    damageStripe();
    const env = { CRIU_CUDA_WAIT: '0' };
    const restored = await machine.tryRestore({ keepStatus: true, env });
    await expectGone();
    expect(await reasonOf(restored)).toMatch(/the file is damaged$/);
  });
});

describe('an image of another protocol is refused before anything is restored, and names the remedy', () => {
  it.each([
    [2, 'make the checkpoint again'],
    [200, 'or later'],
  ])('%i', async (protocol, remedy) => {
    await startAndDump();
    const manifest = join(machine.imagesDir, `cuda-${workload.pid}.img`);
    const original = readFileSync(manifest);
    changeManifest(manifest, ManifestSchema, (message) => (message.protocol = protocol));
    const restored = await machine.tryRestore();
    expect(restored.exitCode).not.toBe(0);
    expect(errorsIn(restored.log)).toMatch(
      new RegExp(`cuda-${workload.pid}\\.img: protocol is ${protocol}.*this version restores.*${remedy}`),
    );
    // CRIU's first message about a process: it made none.
    expect(restored.log).not.toContain('Forking task');
    expect(readStat(workload.pid)).toBeUndefined();
    await machine.expectNothingLeft();
    writeFileSync(manifest, original);
    await expectStillRestorable();
  });
});

describe('criu', () => {
  it.each(['Restore', 'Unlock'])("is killed at the driver's %s", async (call) => {
    await startAndDump();
    await machine.tryRestore({ env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:kill` } });
    await expectGone();
    await expectStillRestorable();
  });

  it.each(['pre-resume', 'post-resume'])('is killed at %s', async (stage) => {
    await startAndDump();
    await machine.tryRestore({ args: machine.actionScript(stage, 'kill -9 $PPID') });
    await expectGone();
    await expectStillRestorable();
  });
});

it('criu stays as the parent of what it restored: the watcher ends, and takes nothing with it', async () => {
  await startAndDump();
  const { criu, ended } = machine.restoreAndStay(variantDir('parallel'));
  const watcher = await waitUntil(() => machine.readStatus().find((e) => e.event === 'watcher')?.pid);
  await waitForExit(watcher, { timeoutMs: 20_000 });
  expect(readStat(watcher)?.state ?? 'Z').toBe('Z');
  expect(await snapshot(workload)).toBe(before);
  criu.kill('SIGKILL');
  await ended;
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});

describe('the application', () => {
  const steps = [
    ['imports', 'cuMemImportFromShareableHandle:1', /connection lost/],
    ['copies', 'cuMemcpyDtoDAsync:1', /connection lost/],
  ] as const;

  it.each(steps)('is killed while it %s its memory', async (_name, call, reason) => {
    await startAndDump({ SOFTCUDA_FAIL: `${call}:kill` });
    await expectRefused({}, reason);
    await expectStillRestorable(); // the call kills only once
  });

  it.each(steps)('gets an error of the driver while it %s its memory: it is killed', async (_name, call) => {
    await startAndDump({ SOFTCUDA_FAIL: `${call}:999` });
    await expectRefused({}, /CUDA_ERROR_UNKNOWN/);
  });
});

it('refuses an image of another version by name', async () => {
  await startAndDump();
  const [manifest = ''] = machine.manifests();
  const fd = openSync(join(machine.imagesDir, manifest), 'r+');
  const head = 8; // the magic number; the version follows
  writeSync(fd, Buffer.from([9]), 0, 1, head);
  closeSync(fd);
  const restored = await machine.tryRestore();
  expect(restored.exitCode).not.toBe(0);
  expect(errorsIn(restored.log)).toContain(`${manifest}: version is 9; this program reads 1`);
  await expectGone();
});
