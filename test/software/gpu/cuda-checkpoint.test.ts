// SPDX-License-Identifier: MIT
/** The program cuda-checkpoint: its command line, output and exit codes, and what it does to a process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { builtProgram } from '../../../lib/paths.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { holdEnd, inNamespace, type HeldEnd } from '../../helpers/held-end.ts';
import { Machine, startPlainProcess } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const NOBODY = '65534';
const UNUSABLE = 255;
/** Low bytes of CUDA's error numbers. */
const low = { INVALID_VALUE: 1, NOT_INITIALIZED: 3, SYSTEM: 48, NOT_READY: 88, ILLEGAL_STATE: 145 };
const first = 'GPU-736f6674-6375-6461-0000-000100000000';
const second = 'GPU-736f6674-6375-6461-0000-000100000001';

let machine: Machine;
let workload: Workload;
let before: string;
beforeEach(async () => {
  machine = new Machine({ SOFTCUDA_DEVICES: '2' });
  workload = await machine.start();
  before = await contents();
});
afterEach(() => machine.close());

const contents = async (): Promise<string> => `${await workload.verify()} ${await workload.addresses()}`;
const onWorkload = (...words: string[]): Promise<ExecResult> =>
  machine.driver([...words, '--pid', String(workload.pid)]);

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // closed in the meantime
  }
}

/** The devices whose memory the process has mapped. */
function mappedDevices(): number[] {
  const maps = readFileSync(`/proc/${workload.pid}/maps`, 'utf8');
  const numbers = [...maps.matchAll(/\/devices\/device(\d+)\.mem/g)].map(([, digits]) => Number(digits));
  return [...new Set(numbers)];
}

/** Runs an operation on the workload. @returns what it printed */
async function done(...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await onWorkload(...words);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  return stdout;
}

/** Runs an operation that fails, and leaves the workload as it was. @returns its complaint */
async function refused(code: number, ...words: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await machine.driver(words);
  expect({ exitCode, stdout }, stderr).toEqual({ exitCode: code, stdout: '' });
  expect(mappedDevices()).toEqual([0]);
  expect(await contents()).toBe(before);
  return stderr;
}

describe('takes a process through its states and back, with its memory', () => {
  it('step by step', async () => {
    expect(await done('--get-state')).toBe('running');
    await done('--action', 'lock', '--timeout', '1000');
    expect(await done('--get-state')).toBe('locked');
    expect(mappedDevices()).toEqual([0]);
    await done('--action', 'checkpoint');
    expect(await done('--get-state')).toBe('checkpointed');
    expect(mappedDevices()).toEqual([]);
    await done('--action', 'restore');
    expect(await done('--get-state')).toBe('locked');
    await done('--action', 'unlock');
    expect(await done('--get-state')).toBe('running');
    expect(mappedDevices()).toEqual([0]);
    expect(await contents()).toBe(before);
  });

  it('by toggles', async () => {
    await done('--toggle', '-t', '1000');
    expect(await done('--get-state')).toBe('checkpointed');
    expect(mappedDevices()).toEqual([]);
    await done('--toggle');
    expect(await done('--get-state')).toBe('running');
    expect(await contents()).toBe(before);
  });

  it.for([[['--action', 'restore']], [['--toggle']]])('to another GPU: %s', async ([operation]) => {
    await done('--toggle');
    await done(...(operation ?? []), '--device-map', `${first}=${second},${second}=${first}`);
    await onWorkload('--action', 'unlock'); // after a toggle it is unlocked already
    expect(await done('--get-state')).toBe('running');
    expect(mappedDevices()).toEqual([1]);
    expect(await contents()).toBe(before);
  });
});

it('suspends a process, which criu without a CUDA plugin dumps and restores, and resumes it', async () => {
  const libdir = join(machine.dir, 'no-plugins');
  mkdirSync(libdir);
  await done('--toggle');
  const dump = await machine.dump(workload, { libdir });
  expect(dump.exitCode, dump.log.slice(-2000)).toBe(0);
  const restore = await machine.restore({ libdir });
  expect(restore.exitCode, restore.log.slice(-2000)).toBe(0);
  expect(await done('--get-state')).toBe('checkpointed');
  expect(mappedDevices()).toEqual([]);
  await done('--toggle');
  expect(mappedDevices()).toEqual([0]);
  expect(await contents()).toBe(before);
});

it('prints the thread that restores the process', async () => {
  const tid = await done('--get-restore-tid');
  const comm = readFileSync(`/proc/${workload.pid}/task/${tid}/comm`, 'utf8').trim();
  expect(comm).toBe('softcuda-rst');
});

describe('refuses', () => {
  it('what is not in order', async () => {
    const pid = String(workload.pid);
    for (const action of ['checkpoint', 'restore', 'unlock']) {
      const said = await refused(low.ILLEGAL_STATE, '--action', action, '--pid', pid);
      expect(said).toContain(`cannot ${action} process ${pid}: CUDA_ERROR_ILLEGAL_STATE (401)`);
      expect(said).toContain('the order is lock, checkpoint, restore, unlock');
    }
  });

  it('to toggle a locked process', async () => {
    await done('--action', 'lock');
    const { exitCode, stderr } = await onWorkload('--toggle');
    expect(exitCode).toBe(low.ILLEGAL_STATE);
    expect(stderr).toContain('it is locked; accepted: running, checkpointed');
    expect(await done('--get-state')).toBe('locked');
    await done('--action', 'unlock');
    expect(await contents()).toBe(before);
  });

  it.for([[['--action', 'lock']], [['--toggle']]])(
    'to wait longer than --timeout for work: %s',
    async ([words]) => {
      expect(await workload.ask('spin start')).toBe('ok');
      const { exitCode, stderr } = await onWorkload(...(words ?? []), '--timeout', '50');
      expect(exitCode).toBe(low.NOT_READY);
      expect(stderr).toContain('CUDA_ERROR_NOT_READY (600): its GPU work did not end in time');
      expect(await done('--get-state')).toBe('running');
      expect(await workload.ask('spin stop')).toBe('ok');
      expect(await contents()).toBe(before);
    },
  );

  it('a device map without the GPU in use, which stays checkpointed', async () => {
    await done('--toggle');
    const { exitCode, stderr } = await onWorkload('--toggle', '-d', `${second}=${first}`);
    expect(exitCode).toBe(low.INVALID_VALUE);
    expect(stderr).toContain('the device map does not name every GPU of the process');
    expect(await done('--get-state')).toBe('checkpointed');
    await done('--toggle');
    expect(await contents()).toBe(before);
  });

  it('a pid that no process has', async () => {
    for (const operation of [['--get-state'], ['--toggle'], ['--action', 'lock'], ['--get-restore-tid']]) {
      const said = await refused(low.SYSTEM, ...operation, '--pid', '4194303');
      expect(said).toContain('process 4194303: CUDA_ERROR_OPERATING_SYSTEM (304): there is no such process');
    }
  });

  it('a process without CUDA', async () => {
    const plain = startPlainProcess();
    const said = await refused(low.NOT_INITIALIZED, '--get-restore-tid', '--pid', String(plain.pid));
    expect(said).toContain('CUDA_ERROR_NOT_INITIALIZED (3): it does not use CUDA');
    await machine.kill(plain.pid);
  });

  it("another user's process", async () => {
    chmodSync(machine.dir, 0o755);
    const asOther = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', builtProgram('cuda-checkpoint')];
    const words = ['--toggle', '--pid', String(workload.pid)];
    const { exitCode, stderr } = await execResult('setpriv', [...asOther, ...words], { env: machine.env });
    expect(exitCode).toBe(low.SYSTEM);
    expect(stderr).toContain('permission denied: run as the user of the process');
    expect(await done('--get-state')).toBe('running');
    expect(await contents()).toBe(before);
  });

  it.for([
    ['no operation', [], 'no operation: --get-state'],
    ['two operations', ['--get-state', '--toggle', '-p', '1'], 'more than one operation'],
    ['no pid', ['--get-state'], '--pid PID is missing'],
    ['a pid that is not a number', ['--get-state', '--pid', '12x'], '"12x" is not a process ID'],
    ['pid 0', ['--get-state', '--pid', '0'], '"0" is not a process ID'],
    ['an unknown action', ['--action', 'dump', '-p', '1'], '"dump"; accepted: lock, checkpoint'],
    [
      'a timeout that is not a number',
      ['--action', 'lock', '-p', '1', '-t', '-5'],
      '--timeout "-5"; accepted',
    ],
    ['a timeout of another action', ['--action', 'unlock', '-p', '1', '-t', '5'], '--timeout is for'],
    ['a device map of another action', ['--action', 'lock', '-p', '1', '-d', `${first}=${first}`], 'is for'],
    ['a device map of nothing', ['--action', 'restore', '-p', '1', '-d', ''], '--device-map is empty'],
    [
      'a wrong device map',
      ['--action', 'restore', '-p', '1', '-d', 'GPU-0=GPU-1'],
      '"GPU-0=GPU-1"; accepted',
    ],
    ['an unknown option', ['--pids', '1'], "unrecognized option '--pids'"],
    ['one argument too many', ['--get-state', '-p', '1', 'more'], '"more" is one argument too many'],
    ['a job', ['--launch-job', 'python3', 'train.py'], 'start the program with NVIDIA'],
  ] as const)('%s', async ([, words, said]) => {
    expect(await refused(UNUSABLE, ...words)).toContain(said);
  });

  it('a library that is not a driver', async () => {
    const { exitCode, stderr } = await execResult(
      builtProgram('cuda-checkpoint'),
      ['--get-state', '--pid', String(workload.pid)],
      { env: { ...machine.env, CRIU_CUDA_DRIVER: '/no/such/libcuda.so.1' } },
    );
    expect(exitCode).toBe(UNUSABLE);
    expect(stderr).toContain('cuda-checkpoint: CRIU_CUDA_DRIVER "/no/such/libcuda.so.1" cannot be opened');
  });
});

describe('a process that is ending', () => {
  const ENDED = 'CUDA_ERROR_OPERATING_SYSTEM (304): there is no such process, or it has ended';
  let held: HeldEnd;
  beforeEach(async () => {
    workload = await machine.start({ under: inNamespace });
    held = await holdEnd(workload.pid);
  });
  afterEach(() => held.release());

  it('is named so by every operation', async () => {
    await held.kill();
    for (const operation of [
      ['--get-state'],
      ['--get-restore-tid'],
      ['--toggle'],
      ...['lock', 'checkpoint', 'restore', 'unlock'].map((action) => ['--action', action]),
    ]) {
      const { exitCode, stderr } = await machine.driver([...operation, '--pid', String(held.pid)]);
      expect(stderr).toContain(`process ${held.pid}: ${ENDED}`);
      expect(exitCode).toBe(low.SYSTEM);
    }
  });

  it('ends the wait for a lock', async () => {
    expect(await workload.ask('spin start')).toBe('ok');
    const words = ['--action', 'lock', '-p', String(held.pid)];
    const child = spawn(builtProgram('cuda-checkpoint'), words, {
      env: { ...process.env, ...machine.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (data: Buffer) => (said += data.toString()));
    const ended = once(child, 'close');
    const fds = `/proc/${child.pid}/fd`;
    // it has found the process, and waits for its answer
    await waitUntil(() => readdirSync(fds).some((fd) => linkOf(`${fds}/${fd}`) === 'anon_inode:[pidfd]'));
    await held.kill();
    expect(await ended).toEqual([low.SYSTEM, null]);
    expect(said).toContain(ENDED);
  });
});

it('--help names every option, and needs no driver', async () => {
  const { exitCode, stdout } = await execResult(builtProgram('cuda-checkpoint'), ['--help'], {
    env: { CRIU_CUDA_DRIVER: '/no/such/libcuda.so.1' },
  });
  expect(exitCode).toBe(0);
  for (const word of [
    '--get-state',
    '--get-restore-tid',
    '--action',
    '--toggle',
    '--timeout',
    '--device-map',
  ]) {
    expect(stdout).toContain(word);
  }
});
