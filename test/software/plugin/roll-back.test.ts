// SPDX-License-Identifier: MIT
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Machine } from '../../helpers/machine.ts';
import type { Workload } from '../../../lib/workload/index.ts';

let machine: Machine;
let workload: Workload;
let before: { checksum: string; addresses: string };
beforeEach(async () => {
  machine = new Machine();
  workload = await machine.start();
  before = { checksum: await workload.verify(), addresses: await workload.addresses() };
});
afterEach(() => machine.close());

/** A CRIU action script that does something at one stage. */
function actionScript(stage: string, command: string): string[] {
  const path = join(machine.dir, 'action.sh');
  writeFileSync(path, `#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = ${stage} ] || exit 0\n${command}\n`);
  chmodSync(path, 0o755);
  return ['--action-script', path];
}

async function expectRunningAsBefore(): Promise<void> {
  expect(await workload.verify()).toBe(before.checksum);
  expect(await workload.addresses()).toBe(before.addresses);
  expect(await machine.state(workload.pid)).toBe('running');
}

it('leaves the process running when asked to, and the images can be restored', async () => {
  const dump = await machine.dump(workload, { args: ['--leave-running'] });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  expect(dump.status).toContainEqual(expect.objectContaining({ event: 'task', outcome: 'rolled-back' }));
  await expectRunningAsBefore();
  expect(await workload.ask('fill 77')).toBe('ok');
  expect(await workload.verify()).not.toBe(before.checksum);

  await workload.ask('quit').catch(() => undefined);
  await workload.ended();
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  await expectRunningAsBefore();
});

it('does not leave a stopped process without its device memory', async () => {
  const dump = await machine.dump(workload, { args: ['--leave-stopped'] });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  expect(dump.status).toContainEqual(expect.objectContaining({ event: 'task', outcome: 'rolled-back' }));
  process.kill(workload.pid, 'SIGCONT');
  await expectRunningAsBefore();
});

it('rolls back after a failing post-dump script', async () => {
  const dump = await machine.dump(workload, { args: actionScript('post-dump', 'exit 7') });
  expect(dump.exitCode).not.toBe(0);
  // The watcher acts after criu has ended; the workload answers once its gate is open again.
  await expectRunningAsBefore();
});

// In later stages CRIU's parasite is in the task, and CRIU's end takes the task along.
it.each(['post-dump', 'pre-dump'])('rolls back when criu is killed at %s', async (stage) => {
  const args = actionScript(stage, 'kill -9 $PPID');
  await machine.dump(workload, { args }).catch(() => undefined);
  await expectRunningAsBefore();
});

it('rolls back when CRIU itself cannot dump the process', async () => {
  workload = await machine.start({ under: ['flock', '--no-fork', join(machine.dir, 'lock')] });
  before = { checksum: await workload.verify(), addresses: await workload.addresses() };
  const dump = await machine.dump(workload); // without --file-locks
  expect(dump.exitCode).not.toBe(0);
  expect(dump.log).toContain('file locks are hold by dumping tasks');
  const steps = dump.status.filter((e) => e.event === 'step').map((e) => e.step);
  expect(steps).toEqual(['lock', 'checkpoint', 'restore', 'unlock']);
  await expectRunningAsBefore();
});

it.each([
  ['locked', ['lock']],
  ['checkpointed', ['lock', 'checkpoint']],
])('returns a process that was %s to that state', async (state, actions) => {
  for (const action of actions) expect((await machine.action(workload.pid, action)).exitCode).toBe(0);
  const dump = await machine.dump(workload, { args: ['--leave-running'] });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  expect(dump.status).toContainEqual(expect.objectContaining({ event: 'task', prior: state }));
  expect(await machine.state(workload.pid)).toBe(state);
  for (const action of state === 'locked' ? ['unlock'] : ['restore', 'unlock']) {
    expect((await machine.action(workload.pid, action)).exitCode).toBe(0);
  }
  await expectRunningAsBefore();
});

it.each([
  ['locked', ['lock']],
  ['checkpointed', ['lock', 'checkpoint']],
])('restores a process that was %s at the dump to running', async (_state, actions) => {
  for (const action of actions) await machine.action(workload.pid, action);
  expect((await machine.dump(workload)).exitCode).toBe(0);
  const restore = await machine.restore();
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  await expectRunningAsBefore();
});

it('fails the dump at the timeout when a kernel does not end, and the program keeps running', async () => {
  expect(await workload.ask('spin start')).toBe('ok');
  const dump = await machine.dump(workload, { env: { CRIU_CUDA_LOCK_TIMEOUT_MS: '300' } });
  expect(dump.exitCode).not.toBe(0);
  expect(dump.log).toContain('did not end within CRIU_CUDA_LOCK_TIMEOUT_MS = 300');
  expect(await workload.ask('spin stop')).toBe('ok');
  await expectRunningAsBefore();
});
