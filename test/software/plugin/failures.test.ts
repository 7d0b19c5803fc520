// SPDX-License-Identifier: MIT
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { variantPlugin } from '../../../lib/variant.ts';
import { isAlive, readStat } from '../../../lib/process/index.ts';
import { Machine, startPlainProcess } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const NOT_PERMITTED = 800;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

function reasons(status: { outcome?: string; reason?: string }[]): string {
  return status
    .filter((e) => e.outcome === 'failed')
    .map((e) => e.reason)
    .join('\n');
}

/** No process has the dumped pid: no process of a refused restore may run. */
function expectGone(pid: number): void {
  expect(['Z', undefined]).toContain(readStat(pid)?.state);
}

describe('a driver call fails during the dump', () => {
  it.each(['GetState', 'Lock', 'Checkpoint'])('%s: the application keeps running as before', async (call) => {
    const workload = await machine.start();
    const checksum = await workload.verify();
    const dump = await machine.dump(workload, {
      env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:${NOT_PERMITTED}` },
    });
    expect(dump.exitCode).not.toBe(0);
    expect(dump.log).toContain('CUDA_ERROR_NOT_PERMITTED');
    expect(await workload.verify()).toBe(checksum);
    expect(await machine.state(workload.pid)).toBe('running');
  });

  it('GetRestoreThreadId: the dump fails instead of treating the process as one without CUDA', async () => {
    const workload = await machine.start();
    const checksum = await workload.verify();
    const dump = await machine.dump(workload, {
      // the look asks first; PAUSE_DEVICES asks again
      env: { SOFTCUDA_FAIL: `cuCheckpointProcessGetRestoreThreadId:2:${NOT_PERMITTED}` },
    });
    expect(dump.exitCode).not.toBe(0);
    expect(await workload.verify()).toBe(checksum);
  });

  it.each([
    ['Restore', 'checkpointed', ['restore', 'unlock']],
    ['Unlock', 'locked', ['unlock']],
  ])(
    '%s during the rollback: it is in the status file, and an operator can finish the rollback',
    async (call, left, actions) => {
      const workload = await machine.start();
      const checksum = await workload.verify();
      // Each process counts its own calls: criu's first one fails, and so does the watcher's.
      const dump = await machine.dump(workload, {
        args: ['--leave-running'],
        env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:${NOT_PERMITTED}` },
      });
      expect(reasons(dump.status)).toContain('CUDA_ERROR_NOT_PERMITTED');
      // the watcher's try may come after criu's end
      const watchers = dump.status.flatMap(({ event, pid }) => (event === 'watcher' ? (pid ?? []) : []));
      expect(watchers).not.toEqual([]);
      await waitUntil(() => !watchers.some(isAlive));
      expect(await machine.state(workload.pid)).toBe(left);
      for (const action of actions) expect((await machine.action(workload.pid, action)).exitCode).toBe(0);
      expect(await workload.verify()).toBe(checksum);
    },
  );

  it('in the second process of a tree: both keep running', async () => {
    const workload = await machine.start({ args: ['--alloc', '4M', '--children', '1'] });
    const before = [await workload.verify(), await workload.verify('child 0 ')];
    const dump = await machine.dump(workload, {
      env: {
        SOFTCUDA_FAIL: `cuCheckpointProcessCheckpoint:2:${NOT_PERMITTED}`,
        SOFTCUDA_FAIL_COUNTS: join(machine.dir, 'counts'), // a process makes the calls for each of the two
      },
    });
    expect(dump.exitCode).not.toBe(0);
    expect([await workload.verify(), await workload.verify('child 0 ')]).toEqual(before);
  });
});

describe('a driver call fails during the restore', () => {
  it.each(['GetRestoreThreadId', 'GetState', 'Restore', 'Unlock'])(
    '%s: nothing runs, the status file has the reason, and the images can still be restored',
    async (call) => {
      const workload = await machine.start();
      const checksum = await workload.verify();
      expect((await machine.dump(workload)).exitCode).toBe(0);
      const failed = await machine.restore({
        env: { SOFTCUDA_FAIL: `cuCheckpointProcess${call}:1:${NOT_PERMITTED}` },
      });
      expect(failed.exitCode).not.toBe(0);
      expect(failed.log).toContain('CUDA_ERROR_NOT_PERMITTED');
      if (call !== 'GetRestoreThreadId') {
        expect(reasons(failed.status)).toContain(`cuCheckpointProcess${call}: CUDA_ERROR_NOT_PERMITTED`);
      }
      await machine.kill(workload.pid);
      expectGone(workload.pid);

      const restored = await machine.restore();
      expect(restored.exitCode, restored.log.slice(-2000)).toBe(0);
      expect(await workload.verify()).toBe(checksum);
    },
  );

  it('in one process of a tree: no process of it runs', async () => {
    const workload = await machine.start({ args: ['--alloc', '4M', '--children', '2'] });
    const children = [0, 1].map(async (i) =>
      Number(/pid=(\d+)/.exec(await workload.ask(`child ${i} status`))?.[1]),
    );
    const pids = [workload.pid, ...(await Promise.all(children))];
    expect((await machine.dump(workload)).exitCode).toBe(0);
    const failed = await machine.restore({
      env: {
        SOFTCUDA_FAIL: `cuCheckpointProcessRestore:2:${NOT_PERMITTED}`,
        SOFTCUDA_FAIL_COUNTS: join(machine.dir, 'counts'), // a process makes the calls for each of the three
      },
    });
    expect(failed.exitCode).not.toBe(0);
    for (const pid of pids) await machine.kill(pid);
    for (const pid of pids) expectGone(pid);
  });
});

describe('the driver is missing', () => {
  const env = { CRIU_CUDA_DRIVER: '/nonexistent/libcuda.so.1' };

  it('at the dump: refused, the application keeps running', async () => {
    const workload = await machine.start();
    const checksum = await workload.verify();
    const dump = await machine.dump(workload, { env });
    expect(dump.exitCode).not.toBe(0);
    expect(dump.log).toContain('/nonexistent/libcuda.so.1');
    expect(await workload.verify()).toBe(checksum);
  });

  it('at the restore: refused, nothing is started', async () => {
    const workload = await machine.start();
    await machine.dump(workload);
    const restore = await machine.restore({ env });
    expect(restore.exitCode).not.toBe(0);
    expect(restore.log).toContain('/nonexistent/libcuda.so.1');
    expectGone(workload.pid);
  });

  it('is not a driver at all: refused by name', async () => {
    const workload = await machine.start();
    const path = join(machine.dir, 'not-a-library');
    writeFileSync(path, 'hello');
    const dump = await machine.dump(workload, { env: { CRIU_CUDA_DRIVER: path } });
    expect(dump.exitCode).not.toBe(0);
    expect(dump.log).toContain(path);
  });
});

describe('settings', () => {
  it('names key, value and what is accepted, and leaves the application alone', async () => {
    const workload = await machine.start();
    const checksum = await workload.verify();
    const dump = await machine.dump(workload, { env: { CRIU_CUDA_LOCK_TIMEOUT_MS: 'abc' } });
    expect(dump.exitCode).not.toBe(0);
    expect(dump.log).toMatch(/CRIU_CUDA_LOCK_TIMEOUT_MS is "abc"; accepted: 1-3600000/);
    expect(await workload.verify()).toBe(checksum);
  });

  it('reads the settings file for what the environment does not set', async () => {
    const workload = await machine.start();
    const config = join(machine.dir, 'other.conf');
    writeFileSync(config, 'CRIU_CUDA_LOCK_TIMEOUT_MS = 250\n');
    await workload.ask('spin start');
    const dump = await machine.dump(workload, { env: { CRIU_CUDA_CONFIG: config } });
    expect(dump.log).toContain('CRIU_CUDA_LOCK_TIMEOUT_MS = 250');
    await workload.ask('spin stop');
  });

  it('refuses an unknown key in the file with its line', async () => {
    const workload = await machine.start();
    writeFileSync(join(machine.dir, 'cuda.conf'), '# two\nCRIU_CUDA_STREEMS = 4\n');
    const dump = await machine.dump(workload);
    expect(dump.exitCode).not.toBe(0);
    expect(dump.log).toContain('cuda.conf:2: unknown setting "CRIU_CUDA_STREEMS"');
    await workload.verify();
  });
});

it('costs a process without CUDA a few milliseconds', async () => {
  const plain = startPlainProcess();
  const hooksOf = (log: string): number => Number(/hooks took ([0-9.]+) ms/.exec(log)?.[1]);
  // another process answers, so a busy machine needs more than one try
  const tries: number[] = [];
  do tries.push(hooksOf((await machine.dumpPid(plain.pid, { args: ['--leave-running'] })).log));
  while (Math.min(...tries) >= 5 && tries.length < 50);
  expect(Math.min(...tries)).toBeLessThan(5);
  const dump = await machine.dumpPid(plain.pid);
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  await plain.ended;
  expect(dump.status).toEqual([]);
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(restore.log).not.toContain('cuda_plugin: version'); // not named in the inventory: not even enabled
  await machine.kill(plain.pid);
});

it.each([
  [1, 'CUDA_ERROR_INVALID_VALUE'],
  [3, 'CUDA_ERROR_NOT_INITIALIZED'],
])('GetRestoreThreadId answers %i (%s): the process has no CUDA, and its dump succeeds', async (result) => {
  const plain = startPlainProcess();
  const calls = [1, 2, 3, 4].map((nth) => `cuCheckpointProcessGetRestoreThreadId:${nth}:${result}`);
  const dump = await machine.dumpPid(plain.pid, { env: { SOFTCUDA_FAIL: calls.join(',') } });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  await plain.ended;
  expect(dump.status).toEqual([]);
});

it('two CUDA plugins in one directory: both act, which is why install refuses it', async () => {
  const libdir = join(machine.dir, 'two');
  mkdirSync(libdir);
  for (const name of ['cuda_plugin.so', 'cuda_plugin_copy.so']) {
    copyFileSync(variantPlugin('stock'), join(libdir, name));
  }
  const workload = await machine.start();
  const checksum = await workload.verify();
  const dump = await machine.dump(workload, { libdir, args: ['--leave-running'] });
  // CRIU asks them in turn; the first that knows the process answers for both.
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  expect(dump.log.match(/cuda_plugin: version/g)).toHaveLength(2);
  expect(await workload.verify()).toBe(checksum);
});
