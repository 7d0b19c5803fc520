// SPDX-License-Identifier: MIT
/**
 * The files of one checkpoint belong together: what an earlier dump left in the directory is not taken for a part of a
 * later one, a missing file is named before anything is restored, and a dump that fails late takes its files away.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readStat } from '../../../lib/process/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';

const ARGS = ['--alloc', '8Mx2', '--host', '4M'];

let machine: ParallelMachine;
let workload: Workload;
let before: string;
beforeEach(async () => {
  machine = new ParallelMachine();
  workload = await machine.startIntercepted({}, ARGS);
  before = await snapshot(workload);
});
afterEach(() => machine.close());

async function dump(args: string[] = [], env: Record<string, string> = {}): Promise<void> {
  const dumped = await machine.tryDump(workload, { args, env });
  expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
  await machine.expectNothingLeft();
}

async function expectRestores(): Promise<string> {
  const restored = await machine.tryRestore();
  expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');
  await machine.expectNothingLeft();
  return restored.log;
}

/** Refused at init, with this reason: CRIU made no process. */
async function expectRefused(reason: RegExp): Promise<void> {
  const restored = await machine.tryRestore();
  expect(restored.exitCode).not.toBe(0);
  expect(errorsIn(restored.log)).toMatch(reason);
  expect(restored.log).not.toContain('Forking task');
  expect(readStat(workload.pid)).toBeUndefined();
  await machine.expectNothingLeft();
}

const file = (name: string): string => join(machine.imagesDir, name);

describe('a GPU image that another dump left in the directory', () => {
  it('is not loaded into a process whose memory the driver has saved', async () => {
    await dump(['--leave-running']);
    expect(existsSync(file(`cuda-${workload.pid}.img`))).toBe(true);
    await dump([], { CRIU_CUDA_PARALLEL_RESTORE: '0' });
    const log = await expectRestores();
    expect(log).toMatch(new RegExp(`cuda-${workload.pid}\\.img is ignored: another dump`));
  });

  it('is refused when it has the name of one of the checkpoint', async () => {
    await dump(['--leave-running']);
    mkdirSync(join(machine.dir, 'earlier'));
    const names = readdirSync(machine.imagesDir).filter((name) => /^cuda-\d+(-\d+)?\.img$/.test(name));
    for (const name of names) copyFileSync(file(name), join(machine.dir, 'earlier', name));
    await dump();
    for (const name of names) renameSync(join(machine.dir, 'earlier', name), file(name));
    await expectRefused(new RegExp(`cuda-${workload.pid}\\.img: belongs to another checkpoint`));
  });
});

describe('a missing file is named before anything is restored', () => {
  it.each([
    ['the GPU image', (pid: number) => `cuda-${pid}.img`, 'missing; cuda.img lists it'],
    ['a stripe', (pid: number) => `cuda-${pid}-0.img`, 'missing; cuda-\\d+.img says'],
    ['host memory', (pid: number) => `cuda-host-${pid}.img`, 'missing; cuda.img lists it'],
    ['the index', () => 'cuda.img', 'missing, and cuda-.* belongs to a checkpoint'],
  ])('%s', async (_what, nameOf, reason) => {
    await dump();
    const name = nameOf(workload.pid);
    renameSync(file(name), join(machine.dir, name));
    await expectRefused(new RegExp(`${name.replaceAll('.', '\\.')}: ${reason}`));
    renameSync(join(machine.dir, name), file(name));
    await expectRestores();
  });
});

describe('without any file of ours', () => {
  /** Host memory stays in CRIU's images, so that only device memory is missing. */
  async function dumpAndRemoveFiles(): Promise<void> {
    const dumped = await machine.tryDump(workload, { env: { CRIU_CUDA_REMAP: '0' } });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    expect(existsSync(file(`cuda-host-${workload.pid}.img`))).toBe(false);
    for (const name of machine.ownFiles()) rmSync(file(name));
  }

  it("CRIU's inventory tells that the GPU image is missing", async () => {
    await dumpAndRemoveFiles();
    await expectRefused(new RegExp(`Missing required plugin: cuda-${workload.pid}\\.img`));
  });

  it('a process is not left waiting for its device memory, whatever the inventory names', async () => {
    await dumpAndRemoveFiles();
    // The name becomes a field that CRIU does not know.
    const inventory = readFileSync(file('inventory.img'));
    inventory[inventory.indexOf(`cuda-${workload.pid}.img`) - 2] = (15 << 3) | 2;
    writeFileSync(file('inventory.img'), inventory);
    const restored = await machine.tryRestore();
    expect(errorsIn(restored.log)).toMatch(
      new RegExp(`device memory of the process is in no file: cuda-${workload.pid}\\.img is missing`),
    );
    await expect.poll(() => readStat(workload.pid)?.state ?? 'gone').toMatch(/^(Z|gone)$/);
    await machine.kill(workload.pid);
    await machine.expectNothingLeft();
  });
});

describe('a dump that fails after everything was saved', () => {
  it('leaves no file of ours', async () => {
    // CRIU cannot write the images of the process itself.
    mkdirSync(file(`core-${workload.pid}.img`));
    const dumped = await machine.tryDump(workload);
    expect(dumped.exitCode).not.toBe(0);
    expect(dumped.log).toContain('device memory saved');
    expect(await snapshot(workload)).toBe(before);
    await machine.expectNothingLeft();
    expect(machine.ownFiles()).toEqual([]);
    rmSync(file(`core-${workload.pid}.img`), { recursive: true });
    await dump();
    await expectRestores();
  });

  it('leaves the files of an earlier checkpoint of other processes', async () => {
    const other = await machine.startIntercepted({}, ['--alloc', '2M']);
    const dumped = await machine.tryDump(other);
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    await machine.expectNothingLeft();
    const earlier = machine.ownFiles().sort();
    mkdirSync(file(`core-${workload.pid}.img`));
    expect((await machine.tryDump(workload)).exitCode).not.toBe(0);
    await machine.expectNothingLeft();
    expect(machine.ownFiles().sort()).toEqual(earlier.filter((name) => name !== 'cuda.img'));
  });
});
