// SPDX-License-Identifier: MIT
/** What nothing else catches: calls that do not return, memory that is short, and deaths in the middle of a hook. */
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { builtProgram, projectRoot } from '../../../lib/paths.ts';
import { variantDir } from '../../../lib/variant.ts';
import { readProcessTree, readStat } from '../../../lib/process/index.ts';
import { askWorkload, type Workload } from '../../../lib/workload/index.ts';
import { errorsIn, ParallelMachine } from '../../helpers/parallel.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const OUT_OF_MEMORY = 2;

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

const snapshotOf = async (workload: Workload): Promise<string> =>
  `${await workload.verify()} ${await workload.addresses()}`;

/** What the driver has answered to one of our steps. */
const results = (step: string): (number | undefined)[] =>
  machine
    .readStatus()
    .filter((event) => event.step === step)
    .map(({ result }) => result);

const lastOutcome = (): string | undefined =>
  machine.readStatus().findLast((e) => e.event === 'task')?.outcome;

async function expectGone(pid: number): Promise<void> {
  await waitFor(() => {
    expect(readStat(pid)?.state ?? 'Z').toBe('Z');
  });
}

it('a call of the driver that does not return is abandoned at its time limit, and the program returned', async () => {
  const workload = await machine.start();
  const before = await snapshotOf(workload);
  const dump = await machine.dump(workload, {
    env: {
      SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:1:hang',
      CRIU_CUDA_STEP_TIMEOUT_MS: '5000',
    },
  });
  expect(dump.exitCode).not.toBe(0);
  expect(dump.log).toMatch(
    /a driver call on \d+ does not return and is abandoned: its time limit has passed/,
  );
  expect(await snapshotOf(workload)).toBe(before);
  expect(await machine.state(workload.pid)).toBe('running');
});

it('the watcher asks the driver again while device memory is short', async () => {
  const workload = await machine.start();
  const before = await snapshotOf(workload);
  const fail = [1, 2].map((nth) => `cuCheckpointProcessRestore:${nth}:${OUT_OF_MEMORY}`);
  await machine.dump(workload, {
    args: machine.actionScript('post-dump', 'exit 7'),
    env: { SOFTCUDA_FAIL: fail.join(',') },
    keepStatus: true,
  });
  await waitFor(() => {
    expect(lastOutcome()).toBe('rolled-back');
  });
  expect(results('restore')).toEqual([OUT_OF_MEMORY, OUT_OF_MEMORY, 0]);
  expect(await snapshotOf(workload)).toBe(before);
});

/** `criu-cuda checkpoint --leave-running`, while another program takes the device memory that the dump frees. */
async function checkpointNextTo(workload: Workload, flags: string[]): Promise<ExecResult> {
  const socket = join(machine.dir, 'neighbor.sock');
  const neighbor = `${builtProgram('workload-pattern')} --alloc 200M --socket ${socket}`;
  const script = machine.actionScript(
    'post-dump',
    `setsid ${neighbor} </dev/null >/dev/null 2>&1 &\nwhile ! [ -S ${socket} ]; do sleep 0.05; done`,
  );
  const words = ['checkpoint', ...flags, '--leave-running', '--pid', String(workload.pid)];
  const where = ['--images-dir', machine.imagesDir, '--variant', 'stock'];
  const command = [join(projectRoot, 'dist', 'cli.js'), ...words, ...where, '--', ...script];
  try {
    return await execResult(process.execPath, command, {
      env: { ...machine.env, CRIU_CUDA_UNDO_TIMEOUT_MS: '500' },
    });
  } finally {
    await askWorkload(socket, 'quit', 10_000).catch(() => undefined);
  }
}

it.each([[['--json']], [[]]])(
  'a neighbor keeps the device memory of a program that was to keep running: checkpoint %j says so',
  async (flags) => {
    const workload = await machine.start({ args: ['--alloc', '200M'] });
    const run = await checkpointNextTo(workload, flags);
    expect(run.exitCode, run.stdout).toBe(1);
    const says = /is complete, but it is NOT running: .*CUDA_ERROR_OUT_OF_MEMORY/;
    if (flags.length === 0) {
      expect(run.stderr).toMatch(says);
    } else {
      const { error } = JSON.parse(run.stdout) as { error: { code: string; message: string } };
      expect(error.code).toBe('ERR_CHECKPOINT_FAILED');
      expect(error.message).toMatch(says);
    }
    expect(await machine.state(workload.pid)).toBe('checkpointed');
  },
);

it.each(['remap', 'parallel'] as const)(
  '%s: the program is killed while the driver makes its checkpoint: criu ends',
  async (variant) => {
    const workload = await machine.start({ args: ['--alloc', '100M', '--threads', '3', '--host', '20M'] });
    const dump = machine.tryDump(workload, {
      libdir: variantDir(variant),
      env: { SOFTCUDA_FAIL: 'cuCheckpointProcessCheckpoint:1:hang' },
      keepStatus: true,
    });
    await waitUntil(() => results('lock').length > 0 && readStat(workload.pid)?.state === 't');
    process.kill(workload.pid, 'SIGKILL');
    const run = await dump;
    expect(run.exitCode, errorsIn(run.log)).not.toBe(0);
    await expectGone(workload.pid);
    await machine.expectNothingLeft();
  },
);

it('criu and its watcher are killed in the middle of a restore: the process is killed, too', async () => {
  const workload = await machine.start();
  expect((await machine.dump(workload, { libdir: variantDir('stock') })).exitCode).toBe(0);
  const restore = machine.tryRestore({
    libdir: variantDir('stock'),
    env: { SOFTCUDA_FAIL: 'cuCheckpointProcessRestore:1:hang' },
    keepStatus: true,
  });
  const watcher = await waitUntil(() => machine.readStatus().find(({ event }) => event === 'watcher')?.pid);
  const criu = machine.readStatus().find(({ event }) => event === 'begin')?.criu ?? 0;
  await waitUntil(() => readStat(workload.pid)?.state === 't');
  process.kill(watcher, 'SIGKILL');
  process.kill(criu, 'SIGKILL');
  await restore;
  await expectGone(workload.pid);
  // Both are dead who would end it; a call of a real driver returns at some time.
  const hung = readProcessTree(process.pid).filter(({ pid }) => readStat(pid)?.comm === 'cuda-driver');
  for (const { pid } of hung) process.kill(pid, 'SIGKILL');
});

it('a pool that does not return device memory in time: the process is killed, and the reason is told', async () => {
  const workload = await machine.startIntercepted();
  expect((await machine.tryDump(workload)).exitCode).toBe(0);
  const restored = await machine.tryRestore({
    env: {
      SOFTCUDA_FAIL: 'cuMemcpyHtoDAsync:2:hang',
      CRIU_CUDA_STREAMS: '1',
      CRIU_CUDA_LOCK_TIMEOUT_MS: '300',
      CRIU_CUDA_COPY_TIMEOUT_MS: '1000',
    },
    keepStatus: true,
  });
  try {
    await expectGone(workload.pid);
    expect(JSON.stringify([restored.status, machine.readStatus()])).toContain(
      'the pool does not return its device memory within CRIU_CUDA_COPY_TIMEOUT_MS',
    );
  } finally {
    // Nobody else ends a process that hangs in the driver.
    for (const { event, pid } of [...restored.status, ...machine.readStatus()])
      if (event === 'pool' && pid !== undefined && readStat(pid)) process.kill(pid, 'SIGKILL');
  }
});
