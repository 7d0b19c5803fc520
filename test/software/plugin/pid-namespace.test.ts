// SPDX-License-Identifier: MIT
/**
 * Failed restores of a tree in a PID namespace. Its first process ends only when everything else in the namespace has
 * ended and was collected, and criu, which traces all of it, waits for the first process.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readProcessTree } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { Machine, type CriuRun } from '../../helpers/machine.ts';
import { PidNamespace } from '../../helpers/pid-namespace.ts';

const OUT_OF_MEMORY = 2;
const TREE = ['--alloc', '4M', '--threads', '3', '--children', '2'];

let machine: Machine;
let space: PidNamespace;
beforeEach(() => {
  machine = new Machine();
  space = new PidNamespace(machine);
});
afterEach(async () => {
  if (space.pid > 0) await machine.kill(space.pid);
  await machine.close();
});

async function expectRestored(libdir: string, before: readonly string[]): Promise<void> {
  const restored = await space.restore({ libdir });
  expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
  expect(await answers()).toEqual(before);
}

const checksum = async (request: string): Promise<string> =>
  /checksum=\w+/.exec(await space.ask(request))?.[0] ?? '';

async function answers(): Promise<string[]> {
  return [await checksum('verify'), await checksum('child 0 verify'), await checksum('child 1 verify')];
}

/** No process that criu has made is left, not even a zombie. */
function expectNothingLeft(run: CriuRun): void {
  expect(run.log).toContain('killing the restored processes');
  const left = readProcessTree(process.pid).filter(({ comm }) => comm === 'workload-patter');
  expect(left).toEqual([]);
}

describe.each(['stock', 'remap'] as const)('variant %s', (variant) => {
  const libdir = variantDir(variant);

  it.each([
    ['GetRestoreThreadId', 1],
    ['GetState', 1],
    ['Restore', 1],
    ['Restore', 2],
    ['Restore', 3],
    ['Unlock', 3],
  ])(
    'the driver refuses cuCheckpointProcess%s, call %d: criu ends, and the checkpoint can be restored',
    async (call, nth) => {
      await space.start(TREE);
      const before = await answers();
      expect((await space.dump({ libdir })).exitCode).toBe(0);
      const rule = { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:${nth}:${OUT_OF_MEMORY}` };
      // which thread the kernel makes wait for the others is decided by chance
      for (let i = 0; i < 3; i++) {
        // a process makes the calls for each of the three
        const env = { ...rule, SOFTCUDA_FAIL_COUNTS: join(machine.dir, `counts-${i}`) };
        const failed = await space.restore({ libdir, env });
        expect(failed.exitCode).toBe(1);
        if (call !== 'GetRestoreThreadId') expectNothingLeft(failed);
      }
      await expectRestored(libdir, before);
    },
  );
});

it('the first process is killed after the driver has restored it: criu, which waits without end, is killed', async () => {
  await space.start(TREE);
  const before = await answers();
  const libdir = variantDir('stock');
  expect((await space.dump()).exitCode).toBe(0);
  const args = machine.actionScript('pre-resume', 'kill -9 "$CRTOOLS_INIT_PID"');
  const env = { CRIU_CUDA_LOCK_TIMEOUT_MS: '300' };
  await expect(space.restore({ args, env })).rejects.toThrow('killed by SIGKILL');
  await expect
    .poll(() => machine.readStatus().some(({ reason }) => reason?.startsWith('it was killed, and criu')))
    .toBe(true);
  machine.takeStatus();
  await expectRestored(libdir, before);
});
