// SPDX-License-Identifier: MIT
// Host memory is copied while the driver's Checkpoint runs, and what changes meanwhile is in the image as it is at the end.
// The software driver changes memory of its own as the last thing in its Checkpoint, and fails its Restore
// if it finds anything else.
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec } from '../../../lib/exec.ts';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { usesInterceptor, variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { hostFiles, pageFiles } from '../../helpers/host-memory.ts';
import { Machine } from '../../helpers/machine.ts';
import { expectRolledBack, expectSame, fingerprint } from '../../helpers/same-program.ts';
import { waitUntil } from '../../helpers/wait.ts';

const MiB = 2 ** 20;
const STATE_MIB = 40;
/** Longer than it takes to copy that, on a busy machine. */
const CHECKPOINT_MS = 2000;
const libdir = variantDir('remap');

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const start = (env: Record<string, string> = {}): Promise<Workload> =>
  machine.start({
    args: ['--alloc', '4Mx2', '--host', '8M'],
    env: {
      SOFTCUDA_CHECKPOINT_MS: String(CHECKPOINT_MS),
      SOFTCUDA_HOST_STATE_MB: String(STATE_MIB),
      ...env,
    },
  });

/** Bytes that were copied before the end of the Checkpoint, and once more. */
function copied(log: string): { early: number; again: number } {
  const [, early, again] =
    /: (\d+) bytes of host memory were copied before .*, (\d+) once more/.exec(log) ?? [];
  return { early: Number(early), again: Number(again) };
}

describe.each(['remap', 'parallel', 'full'] as const)('%s', (variant) => {
  it('copies during the Checkpoint, and copies what has changed once more', async () => {
    const workload = await start(usesInterceptor(variant) ? { LD_PRELOAD: interceptorLibrary() } : {});
    const before = await workload.verify();
    const dumped = await machine.dump(workload, { libdir: variantDir(variant) });
    expect(dumped.exitCode, dumped.log.slice(-3000)).toBe(0);
    const { early, again } = copied(dumped.log);
    expect(early).toBeGreaterThanOrEqual(STATE_MIB * MiB);
    expect(again).toBeGreaterThan(0);
    expect(again).toBeLessThan(early);
    for (let round = 0; round < 2; round += 1) {
      const restored = await machine.restore({ libdir: variantDir(variant) });
      expect(restored.exitCode, restored.log.slice(-3000)).toBe(0);
      expect(await workload.verify()).toBe(before);
      if (round === 0) await machine.kill(workload.pid);
    }
  });
});

it('leaves a program that runs on as it was', async () => {
  const workload = await start();
  const before = await fingerprint(workload);
  for (let round = 0; round < 2; round += 1) {
    const run = await machine.dump(workload, { libdir, args: ['--leave-running'] });
    expect(run.exitCode, run.log.slice(-3000)).toBe(0);
    expect(copied(run.log).again).toBeGreaterThan(0);
    expect(pageFiles(machine.imagesDir)).toHaveLength(1);
    await expectSame(machine, workload, before);
  }
});

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'returns the program when criu gets %s meanwhile',
  async (signal) => {
    const workload = await start();
    const before = await fingerprint(workload);
    const dumping = machine.dump(workload, { libdir, keepStatus: true }).catch(() => undefined);
    await waitUntil(() => pageFiles(machine.imagesDir).some((file) => statSync(file).blocks > 0));
    const criu = machine.readStatus().find(({ event }) => event === 'begin')?.criu ?? 0;
    process.kill(criu, signal);
    await dumping;
    await expectRolledBack(machine);
    await expectSame(machine, workload, before);
    await waitUntil(() => hostFiles(machine.imagesDir).length === 0);
  },
);

it('leaves no file when the Checkpoint fails', async () => {
  const workload = await start();
  const before = await fingerprint(workload);
  const run = await machine.dump(workload, {
    libdir,
    env: { SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:1:999' },
  });
  expect(run.exitCode).not.toBe(0);
  expect(hostFiles(machine.imagesDir)).toEqual([]);
  await expectSame(machine, workload, before);
});

it('leaves memory to CRIU when the page file does not fit', async () => {
  const workload = await start();
  const before = await fingerprint(workload);
  const imagesDir = join(machine.dir, 'small');
  mkdirSync(imagesDir);
  await exec('mount', ['-t', 'tmpfs', '-o', `size=${STATE_MIB / 2}M`, 'tmpfs', imagesDir]);
  try {
    const run = await machine.dump(workload, { libdir, imagesDir });
    expect(run.log).toMatch(/host memory is left to CRIU: cuda-pages-.*: No space left on device/);
    expect(hostFiles(imagesDir)).toEqual([]);
    await expectSame(machine, workload, before);
  } finally {
    await exec('umount', ['--lazy', imagesDir]);
  }
});
