// SPDX-License-Identifier: MIT
/** Restored processes are dumped and restored again by a program that does not wait for them. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint, type CheckpointResult } from '../../../lib/checkpoint/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readStat } from '../../../lib/process/index.ts';
import { restore, type RestoredProcess } from '../../../lib/restore/index.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../../helpers/criu.ts';
import { killUncollected, Machine } from '../../helpers/machine.ts';

let machine: Machine;
let workload: Workload;
let before: string;
beforeEach(async () => {
  machine = new Machine();
  workload = await machine.start();
  before = await workload.verify();
  await dump();
});
afterEach(() => machine.close());

const options = () => ({
  imagesDir: machine.imagesDir,
  libdir: variantDir('stock'),
  criu: criuProgram(),
  env: machine.env,
});
const dump = (): Promise<CheckpointResult> => checkpoint({ ...options(), pid: workload.pid, force: true });
const bringBack = (): Promise<RestoredProcess> => restore(options());

it('by a checkpoint, which leaves no zombie', async () => {
  for (let round = 0; round < 3; round++) {
    await bringBack();
    expect(await workload.verify()).toBe(before);
    expect((await dump()).warnings).toEqual([]);
    expect(readStat(workload.pid)).toBeUndefined();
  }
});

it('by a restore, after they have ended', async () => {
  await bringBack();
  await killUncollected(workload.pid);
  await bringBack();
  expect(await workload.verify()).toBe(before);
});

it('by a caller that waits and learns how they ended', async () => {
  const restored = await bringBack();
  expect(await restored.wait({ timeoutMs: 1 })).toBeUndefined();
  const ended = restored.wait();
  expect((await dump()).warnings).toEqual([]);
  expect(await ended).toEqual({ kind: 'signaled', signal: 9, coreDumped: false });
});
