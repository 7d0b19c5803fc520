// SPDX-License-Identifier: MIT
/** Watchers that are killed when the plugin's hooks are over: criu cannot start another one any more. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { interceptorLibrary } from '../../../lib/paths.ts';
import { readStat } from '../../../lib/process/index.ts';
import { variantDir, type PluginVariant } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { faultPoint } from '../../helpers/fault-point.ts';
import { ParallelMachine } from '../../helpers/parallel.ts';
import { expectRolledBack, expectSame, fingerprint, type Fingerprint } from '../../helpers/same-program.ts';
import { waitFor } from '../../helpers/wait.ts';

let machine: ParallelMachine;
let workload: Workload;
let before: Fingerprint;

beforeEach(async () => {
  machine = new ParallelMachine();
  const args = ['--alloc', '8Mx4', '--alloc', '1M', '--host', '20M', '--pinned', '4M'];
  workload = await machine.start({ args, env: { LD_PRELOAD: interceptorLibrary() } });
  await workload.verify(); // the program's own buffers exist from now on
  before = await fingerprint(workload);
});

let isHit = false;
afterEach(() => machine.close());

const pidsOf = (event: string): number[] =>
  machine.readStatus().flatMap((one) => (one.event === event && one.pid !== undefined ? [one.pid] : []));

/** Kills a process, and waits until it is dead. */
async function kill(pid: number | undefined): Promise<void> {
  if (pid === undefined) throw new Error('the process to be killed is not there');
  process.kill(pid, 'SIGKILL');
  await waitFor(() => {
    expect(readStat(pid)?.state ?? 'Z').toBe('Z');
  });
}

const killWatcher = (which: 'first' | 'second'): Promise<void> =>
  kill(pidsOf('watcher')[which === 'first' ? 0 : 1]);

/** Something happens at a step. @returns the environment for criu */
async function atFaultPoint(
  rule: string,
  act: (pid: number) => Promise<void>,
): Promise<Record<string, string>> {
  isHit = false;
  return faultPoint(machine.dir, rule, async (pid) => {
    await act(pid);
    isHit = true;
  });
}

/** The plugin's last hook is over, and the program still stopped. */
const AFTER_HOOKS = 'criu:log:1:ask:Unfreezing tasks';

describe.each(['parallel', 'full'] as const)('%s: a dump that leaves the program running', (variant) => {
  const dump = async (env: Record<string, string>): Promise<void> => {
    const run = await machine.dump(workload, {
      libdir: variantDir(variant),
      args: ['--leave-running'],
      env,
      keepStatus: true,
    });
    expect(run.exitCode, run.log).toBe(0);
    await waitFor(() => {
      expect(isHit).toBe(true);
    });
    await expectSame(machine, workload, before, true);
    await expectRolledBack(machine);
    await machine.expectNothingLeft();
  };

  it.each(['first', 'second'] as const)('the %s watcher is killed after the last hook', async (which) => {
    await dump(await atFaultPoint(AFTER_HOOKS, () => killWatcher(which)));
  });

  it('the watcher is killed when the pool has returned the device memory', async () => {
    await dump(await atFaultPoint('pool:status:1:ask:"attach"', () => killWatcher('first')));
  });

  it('the watcher and the pool are killed after the last hook', async () => {
    await dump(
      await atFaultPoint(AFTER_HOOKS, async () => {
        await killWatcher('first');
        await kill(pidsOf('pool').at(-1));
      }),
    );
  });
});

/** Criu is killed when the images are complete, and before it has killed the program. */
async function dumpAndKill(variant: PluginVariant, alsoKill: () => Promise<void>): Promise<void> {
  const env = await atFaultPoint(AFTER_HOOKS, async (criu) => {
    await alsoKill();
    await kill(criu);
  });
  const dump = machine.dump(workload, { libdir: variantDir(variant), env, keepStatus: true });
  await expect(dump).rejects.toThrow('was killed by SIGKILL');
}

it.each(['stock', 'remap', 'parallel', 'full'] as const)(
  '%s: criu and its first watcher are killed after the last hook: the second returns the program',
  async (variant) => {
    await dumpAndKill(variant, () => killWatcher('first'));
    await expectSame(machine, workload, before, variant === 'parallel' || variant === 'full');
    await expectRolledBack(machine);
    await machine.expectNothingLeft();
  },
);

it.each(['stock', 'remap', 'parallel', 'full'] as const)(
  '%s: criu and both watchers are killed after the last hook: the program is killed',
  async (variant) => {
    await dumpAndKill(variant, async () => {
      await killWatcher('second');
      await killWatcher('first');
    });
    await workload.ended();
    await machine.expectNothingLeft();
  },
);

/** A post-dump script fails, and the watcher is killed at its Nth ptrace call while it returns the program. */
async function killWhileUndoing(variant: PluginVariant, nth: number): Promise<void> {
  const env = await atFaultPoint(`watcher:ptrace:${nth}:ask:`, () => killWatcher('first'));
  const args = machine.actionScript('post-dump', 'exit 7');
  await machine.dump(workload, { libdir: variantDir(variant), args, env, keepStatus: true });
  await waitFor(() => {
    expect(isHit).toBe(true);
  });
}

describe.each(['remap', 'full'] as const)(
  '%s: the watcher is killed while it returns a program',
  (variant) => {
    it('before it has stopped a thread: the second watcher does it', async () => {
      await killWhileUndoing(variant, 1);
      await expectSame(machine, workload, before, variant === 'full');
      await expectRolledBack(machine);
      await machine.expectNothingLeft();
    });

    it('while it has stopped the threads: the program is killed, and the reason is told', async () => {
      await killWhileUndoing(variant, 9);
      await workload.ended();
      await machine.expectNothingLeft();
      const last = machine.readStatus().findLast(({ event }) => event === 'task');
      expect(last).toMatchObject({
        outcome: 'failed',
        reason: expect.stringContaining('a watcher was killed') as string,
      });
    });
  },
);
