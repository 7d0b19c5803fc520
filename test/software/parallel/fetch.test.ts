// SPDX-License-Identifier: MIT
/**
 * The plugin connects to the service thread of any program, of any user and under any filter, and
 * leaves nothing in it.
 */
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { variantDir } from '../../../lib/variant.ts';
import { errorsIn, ParallelMachine, snapshot, testTool } from '../../helpers/parallel.ts';
import { targets } from '../../helpers/same-program.ts';
import { waitUntil } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  // host memory is left to CRIU, so that mappings can be compared
  machine = new ParallelMachine({ CRIU_CUDA_REMAP: '0' });
  chmodSync(machine.dir, 0o1777); // for other users
});
afterEach(() => machine.close());

const MAILBOX = '/memfd:criu-cuda-mailbox (deleted)';

/** What others see of a process, but not what the software driver has and what malloc and threads come and go with. */
function lookAt(pid: number): { descriptors: string[]; threads: string[]; mappings: string[] } {
  const tids = readdirSync(`/proc/${pid}/task`);
  const mappings = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
  return {
    descriptors: targets(pid)
      .map((text) => text.replace(/\d+\]$/, ']'))
      .filter((text) => !isDevice(text))
      .sort(),
    threads: tids.map((tid) => `${tid} ${readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim()}`),
    mappings: mappings
      // CRIU gives anonymous shared memory another name
      .map((line) => line.replace(/ [0-9a-f]+:[0-9a-f]+ \d+ +/, ' ').replace('/memfd:/dev/zero', '/dev/zero'))
      .filter((line) => /\S{2}$/.test(line) && !isDevice(line) && !/ \[(stack|heap)\]$| $/.test(line)),
  };
}

const isDevice = (text: string): boolean => text.endsWith('/device0.mem');

/** Compares when the program has closed the connection on which it was asked. */
const expectAsBefore = (pid: number, before: ReturnType<typeof lookAt>): Promise<void> =>
  expect.poll(() => lookAt(pid)).toEqual(before);

/** Without it, as in a container, CRIU cannot read the limits of a process of another user. */
const hasSysResource =
  ((BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`) >> 24n) &
    1n) ===
  1n;

interface How {
  under?: string[];
  args?: string[];
  /** False where CRIU itself fails after the memory was handed over: then it must be as before. */
  isDumped?: boolean;
  /** False where CRIU itself cannot restore the program. */
  isRestored?: boolean;
}

const programs: [string, How][] = [
  ['of root', {}],
  [
    'of another user',
    { under: ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups'], isDumped: hasSysResource },
  ],
  // CRIU has to mount /proc there, which needs a PID namespace as well: see the tests of containers
  ['in a user namespace', { under: ['unshare', '--user', '--map-root-user'], isRestored: false }],
  ['without CAP_SYS_PTRACE', { under: ['setpriv', '--bounding-set', '-sys_ptrace', '--inh-caps', '-all'] }],
  ['under a filter of its own that kills it for a socketpair', { args: ['--seccomp'] }],
];

describe.each(['parallel', 'full'] as const)('variant %s', (variant) => {
  const libdir = variantDir(variant);

  it.each(programs)(
    'a program %s keeps its memory, threads, descriptors and mappings',
    async (_name, how) => {
      const args = ['--alloc', '8Mx3', '--alloc', '1M', '--threads', '2', ...(how.args ?? [])];
      const { under } = how;
      if (variant === 'full') {
        await machine.startPool();
        for (const name of ['.', ...readdirSync(machine.env.SOFTCUDA_DIR ?? '')])
          chmodSync(join(machine.env.SOFTCUDA_DIR ?? '', name), 0o777); // as the device files of a GPU
      }
      const workload = await machine.startIntercepted({}, args, under);
      const bytes = await snapshot(workload);
      await expect
        .poll(() => lookAt(workload.pid).descriptors.filter((text) => text === 'socket:[]'))
        .toHaveLength(1);
      const before = lookAt(workload.pid);
      expect(before.mappings.filter((line) => line.endsWith(MAILBOX))).toHaveLength(1);

      const restoreAsBefore = async (): Promise<void> => {
        const restored = await machine.tryRestore({ libdir });
        expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
        expect(await snapshot(workload)).toBe(bytes);
        await expectAsBefore(workload.pid, before);
      };

      const left = await machine.tryDump(workload, { libdir, args: ['--leave-running'] });
      expect(left.exitCode, left.log.slice(-2000)).toBe(how.isDumped === false ? 1 : 0);
      expect(left.log).toMatch(/\d+ bytes in \d allocations handed over to the pool/);
      expect(await snapshot(workload)).toBe(bytes);
      await expectAsBefore(workload.pid, before);
      if (how.isDumped === false) return;
      expect(machine.manifests()).toHaveLength(1);

      const dumped = await machine.tryDump(workload, { libdir });
      expect(dumped.exitCode, dumped.log.slice(-2000)).toBe(0);
      if (how.isRestored === false) return;
      await restoreAsBefore();
      const again = await machine.dumpPid(workload.pid, { libdir });
      expect(again.exitCode, again.log.slice(-2000)).toBe(0);
      await machine.kill(workload.pid); // collects it
      await restoreAsBefore();
      await machine.kill(workload.pid);
      if (variant === 'parallel') await machine.expectNothingLeft();
    },
  );
});

describe('a hand-over', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('that waits when criu gets %s ends everywhere', async (signal) => {
    const workload = await machine.startIntercepted();
    const before = await snapshot(workload);
    expect(await workload.ask('spin start')).toBe('ok');
    const env = { CRIU_CUDA_LOCK_TIMEOUT_MS: '2000' };
    const dump = machine.tryDump(workload, { env });
    const criu = await waitUntil(() => {
      const events = machine.readStatus();
      return (
        events.some(({ event }) => event === 'evicting') && events.find((e) => e.event === 'begin')?.criu
      );
    });
    process.kill(criu, signal);
    expect((await dump).exitCode).not.toBe(0);
    await machine.expectNothingLeft(); // the pool waits for the GPU until the timeout
    expect(await workload.ask('spin stop')).toBe('ok');
    expect(await snapshot(workload)).toBe(before);
    expect(await machine.state(workload.pid)).toBe('running');
    expect((await machine.tryDump(workload)).exitCode).toBe(0);
    expect((await machine.tryRestore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });

  it('that cannot begin is tried until the lock timeout, and the program keeps its memory', async () => {
    const workload = await machine.startIntercepted();
    const before = await snapshot(workload);
    /** The first seizes of a thread fail, as if a debugger traced it. */
    const failing = (count: number): Record<string, string> => ({
      LD_PRELOAD: testTool('fail-ptrace.so'),
      CCR_FAIL_PTRACE: `thread:${count}`,
    });
    const start = performance.now();
    const refused = await machine.tryDump(workload, {
      env: { ...failing(1e9), CRIU_CUDA_LOCK_TIMEOUT_MS: '700' },
    });
    expect(refused.exitCode).not.toBe(0);
    expect(performance.now() - start).toBeGreaterThan(700);
    expect(errorsIn(refused.log)).toMatch(
      /service thread \d+ within CRIU_CUDA_LOCK_TIMEOUT_MS = 700: .*tracer/,
    );
    expect(await snapshot(workload)).toBe(before);
    await machine.expectNothingLeft();

    const dumped = await machine.tryDump(workload, { env: failing(20) });
    expect(dumped.exitCode, errorsIn(dumped.log)).toBe(0);
    expect((await machine.tryRestore()).exitCode).toBe(0);
    expect(await snapshot(workload)).toBe(before);
  });
});
