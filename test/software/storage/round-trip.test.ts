// SPDX-License-Identifier: MIT
/** Custom storage: on a driver that has it, an unmodified process is dumped and restored through the pool. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine, snapshot } from '../../helpers/parallel.ts';

/** 40 MiB on each of two devices, more than the rest of the process. */
const ARGS = ['--alloc', '8Mx5', '--alloc', '1M'];

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine({ SOFTCUDA_DRIVER: '615', SOFTCUDA_DEVICES: '2' });
});
afterEach(() => machine.close());

/** Bytes of CRIU's page images and of our page files. */
function hostBytes(): number {
  const names = machine.allFiles().filter((name) => /^(pages-|cuda-pages-)/.test(name));
  return names.reduce((sum, name) => sum + 512 * statSync(join(machine.imagesDir, name)).blocks, 0);
}

it.each(['parallel', 'full'] as const)('dumps and restores with variant %s', async (variant) => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);

  const dump = await machine.tryDump(workload, { libdir: variantDir(variant) });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(dump.status).toContainEqual(
    expect.objectContaining({ event: 'evict', storage: true, by: 'helper', result: 0 }),
  );
  expect(machine.manifests()).toHaveLength(1);
  expect(hostBytes()).toBeLessThan(16 << 20);

  const restore = await machine.tryRestore({ libdir: variantDir(variant) });
  expect(restore.exitCode, errorsIn(restore.log)).toBe(0);
  expect(restore.status).toContainEqual(
    expect.objectContaining({ event: 'attach', storage: true, source: 'files', result: 0 }),
  );
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});

it('leaves a running process as it was', async () => {
  const workload = await machine.start({ args: ARGS });
  const before = await snapshot(workload);
  const dump = await machine.tryDump(workload, { args: ['--leave-running'] });
  expect(dump.exitCode, errorsIn(dump.log)).toBe(0);
  expect(await machine.state(workload.pid)).toBe('running');
  expect(await snapshot(workload)).toBe(before);
  await machine.expectNothingLeft();
});
