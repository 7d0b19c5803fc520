// SPDX-License-Identifier: MIT
/**
 * The pool cannot take the memory of one rank. Kernels of the others wait for its kernels, so it may not run until the driver has
 * locked it: variant `full` then leaves its memory to the driver, `parallel` refuses the dump at once.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { Ranks } from '../../helpers/ranks.ts';
import { waitUntilFree } from '../../helpers/wait.ts';

const RANKS = 3;
let machine: ParallelMachine;
let dir: string;

/** Each rank has one allocation that moves; the nth of them cannot be exported. */
async function start(nth: number, args: readonly string[] = ['--share', 'host']): Promise<Ranks> {
  writeFileSync(join(dir, 'counts'), Buffer.alloc(4096));
  const outOfMemory = 2;
  machine = new ParallelMachine({
    SOFTCUDA_FAIL: `cuMemExportToShareableHandle:${nth}:${outOfMemory}`,
    SOFTCUDA_FAIL_COUNTS: join(dir, 'counts'),
  });
  return Ranks.start(machine, ['--ranks', String(RANKS), '--alloc', '4', ...args]);
}

beforeEach(() => {
  dir = mkdtempSync('/dev/shm/criu-cuda-fallback-');
});
afterEach(async () => {
  await machine.close();
  rmSync(dir, { recursive: true });
});

describe.each([1, 2, RANKS])('rank %i of three', (nth) => {
  it('full: the driver saves it, and all come back', async () => {
    const ranks = await start(nth);
    const { exitCode, log, status } = await machine.dump(ranks.workload, { libdir: variantDir('full') });
    expect(exitCode, errorsIn(log)).toBe(0);
    const refused = ranks.pids[nth - 1] ?? 0;
    expect(status.filter(({ event }) => event === 'fallback').map(({ pid }) => pid)).toEqual([refused]);
    expect(machine.manifests()).toEqual(
      ranks.pids.filter((pid) => pid !== refused).map((pid) => `cuda-${pid}.img`),
    );
    await waitUntilFree(ranks.pid, ...ranks.pids);
    const restored = await machine.restore({ libdir: variantDir('full') });
    expect(restored.exitCode, errorsIn(restored.log)).toBe(0);
    await ranks.check();
    // Nobody is left behind a gate: the next dump moves all.
    const again = await machine.dumpPid(ranks.pid, { libdir: variantDir('full'), args: ['--leave-running'] });
    expect(again.exitCode, errorsIn(again.log)).toBe(0);
    expect(again.status.filter(({ event }) => event === 'fallback')).toEqual([]);
    await ranks.check();
  });

  it('full: left running, all run on', async () => {
    const ranks = await start(nth);
    const { exitCode, log } = await machine.dumpPid(ranks.pid, {
      libdir: variantDir('full'),
      args: ['--leave-running'],
    });
    expect(exitCode, errorsIn(log)).toBe(0);
    await ranks.check();
  });

  it('parallel: the dump is refused with the reason, and all run on', async () => {
    const ranks = await start(nth);
    const { exitCode, log, status } = await machine.dumpPid(ranks.pid, { libdir: variantDir('parallel') });
    expect(exitCode).not.toBe(0);
    expect(log).toContain('cannot export an allocation (CUDA_ERROR_OUT_OF_MEMORY)');
    expect(status.filter(({ step }) => step === 'lock')).toEqual([]);
    await ranks.check();
  });
});

it('full: a rank that shares device memory is not left to the driver', async () => {
  // Six exports are made when they start, to give them to each other, and then two by each rank.
  const ranks = await start(6 + 3, []);
  const { exitCode, log, status } = await machine.dumpPid(ranks.pid, { libdir: variantDir('full') });
  expect(exitCode).not.toBe(0);
  expect(log).toContain('cannot export an allocation (CUDA_ERROR_OUT_OF_MEMORY)');
  expect(status.filter(({ step }) => step === 'lock')).toEqual([]);
  await ranks.check();
});
