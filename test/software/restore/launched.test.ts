// SPDX-License-Identifier: MIT
// criu-cuda-start starts the pool's helper before Node. Node takes it over, or it ends.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { TraceDocument } from '../../../lib/criu/index.ts';
import { execResult } from '../../../lib/exec.ts';
import { findCriu } from '../../../lib/machine/index.ts';
import { builtProgram, programFile } from '../../../lib/paths.ts';
import { waitForExit, waitUntilCollected } from '../../../lib/process/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import type { Workload } from '../../../lib/workload/index.ts';
import { Gate, helpersOf, holdersOfInput, isGone, slowNode, type } from '../../helpers/launched.ts';
import { ParallelMachine, snapshot } from '../../helpers/parallel.ts';
import { readSpans, type NamedSpan } from '../../helpers/trace.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

let machine: ParallelMachine;
beforeEach(() => {
  machine = new ParallelMachine();
});
afterEach(() => machine.close());

const logOf = (name: string): string => readFileSync(join(machine.imagesDir, name), 'utf8');
const endOfHelpers = (): Promise<unknown> => waitUntil(() => helpersOf(machine).length === 0);

const ascending = (...pids: (number | undefined)[]): unknown => pids.sort((a = 0, b = 0) => a - b);

/** The only helper, once there is one. */
async function helper(): Promise<number> {
  await waitUntil(() => helpersOf(machine).length === 1);
  return helpersOf(machine)[0] ?? 0;
}

/** A checkpoint of a program that has ended. @returns what its device memory had */
async function checkpoint(workload: Workload): Promise<string> {
  const before = await snapshot(workload);
  const words = ['checkpoint', String(workload.pid), machine.imagesDir];
  const { exitCode, output } = await type(machine, words).ended;
  expect(exitCode, output).toBe(0);
  await workload.ended();
  await waitForExit(workload.pid);
  await waitUntilCollected(workload.pid, 5000);
  await endOfHelpers();
  return before;
}

it('starts the helper of a dump and of a restore before Node, which serves both', async () => {
  const workload = await machine.startIntercepted();
  const before = await snapshot(workload);
  const { node, gate } = await slowNode(machine);
  const libdir = `${relative(machine.dir, variantDir('full'))}/`;
  for (const [words, log] of [
    [['checkpoint', String(workload.pid), 'images'], 'dump.log'],
    [['restore', '--images-dir', 'images', '--libdir', libdir, '--detach'], 'restore.log'],
  ] as const) {
    const typed = type(machine, words, node);
    const pid = await helper();
    expect(holdersOfInput(pid)).toEqual(ascending(typed.command.pid, pid));
    await gate.open();
    const { exitCode, output } = await typed.ended;
    expect(exitCode, output).toBe(0);
    expect(logOf(log)).toContain(`${pid}, started before criu, serves this run`);
    await endOfHelpers();
    if (log === 'restore.log') continue;
    await workload.ended();
    await waitForExit(workload.pid);
    await waitUntilCollected(workload.pid, 5000);
  }
  expect(await snapshot(workload)).toBe(before);
});

/** A criu that says that it is there, with its environment, and waits. */
async function slowCriu(): Promise<{ criu: string; gate: Gate; environment: () => Promise<string> }> {
  const gate = await Gate.create(join(machine.dir, 'criu-gate'));
  const criu = join(machine.dir, 'criu');
  const seen = join(machine.dir, 'environment');
  const { criu: real } = await findCriu();
  const wait = `case "$*" in *--pidfile*) env >${seen}.new; echo SELF=$$ >>${seen}.new; mv ${seen}.new ${seen}; read -r _ <${gate.path} ;; esac`;
  writeFileSync(criu, `#!/bin/sh\n${wait}\nexec ${real?.path ?? ''} "$@"\n`, { mode: 0o755 });
  const environment = async (): Promise<string> => {
    await waitUntil(() => existsSync(seen));
    return readFileSync(seen, 'utf8');
  };
  return { criu, gate, environment };
}

it('gives criu neither the pipe nor the variable, and leaves no zombie', async () => {
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  const { criu, gate, environment } = await slowCriu();
  const { command, ended } = type(machine, ['restore', 'images'], undefined, { CRIU_CUDA_CRIU: criu });
  const pid = await helper();
  expect(await environment()).toContain(`CRIU_CUDA_EARLY_HELPER=${pid}\n`);
  expect(await environment()).not.toContain('CRIU_CUDA_STARTED_HELPER');
  expect(holdersOfInput(pid)).toEqual(ascending(command.pid, pid));
  await gate.open();
  await waitUntil(() => isGone(pid));
  expect(await waitFor(() => snapshot(workload))).toBe(before);
  expect(command.exitCode).toBeNull();
  command.kill('SIGTERM');
  await ended;
});

it('ends with the command that is killed before Node runs, or before criu does', async () => {
  const workload = await machine.startIntercepted();
  await checkpoint(workload);
  const { node } = await slowNode(machine);
  const early = type(machine, ['restore', 'images', '--detach'], node);
  await helper();
  early.command.kill('SIGKILL');
  await endOfHelpers();
  const { criu, environment } = await slowCriu();
  const late = type(machine, ['restore', 'images', '--detach'], undefined, { CRIU_CUDA_CRIU: criu });
  const waiting = Number(/^SELF=(\d+)$/m.exec(await environment())?.[1]);
  await helper();
  late.command.kill('SIGKILL');
  await endOfHelpers();
  process.kill(waiting, 'SIGKILL');
});

it.each([
  ['has other settings', 'CRIU_CUDA_STREAMS=2', 'helper'],
  ['has another driver', 'SOFTCUDA_MEMORY_MB=128', 'helper'],
  ['has another plugin', `CRIU_LIBS_DIR=${variantDir('parallel')}`, 'helper'],
  ['has a daemon', '', 'daemon'],
] as const)('ends when Node %s, and the memory is right', async (_, then, served) => {
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  const { node, gate } = await slowNode(machine, then);
  const { ended } = type(machine, ['restore', 'images', '--detach'], node);
  const pid = await helper();
  if (served === 'daemon') await machine.startPool();
  await gate.open();
  const { exitCode, output } = await ended;
  expect(exitCode, output).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  const log = logOf('restore.log');
  expect(log).toMatch(served === 'daemon' ? /connected to the daemon/ : /\d+, started before criu, serves/);
  expect(log).not.toContain(`${pid}, started before criu`);
  await endOfHelpers();
});

it('ends when the restore is refused, with the words of a restore without it', async () => {
  const workload = await machine.startIntercepted();
  const words = ['checkpoint', String(workload.pid), 'images', '--leave-running'];
  expect((await type(machine, words).ended).exitCode).toBe(0);
  const { node, gate } = await slowNode(machine);
  const { ended } = type(machine, ['restore', 'images', '--detach'], node);
  await helper();
  await gate.open();
  const { exitCode, output } = await ended;
  const plain = await execResult(process.execPath, [programFile, 'restore', 'images', '--detach'], {
    ...{ env: machine.env, cwd: machine.dir },
  });
  expect([exitCode, output.trim()]).toEqual([plain.exitCode, plain.stderr]);
  expect(output).toContain(`pid ${workload.pid} is in use`);
  await endOfHelpers();
});

it('does not start where the helper would have the pids that the program needs', async () => {
  const workload = await machine.startIntercepted();
  await checkpoint(workload);
  // in a pid namespace of their own, the helper would have pids just below those of the program; that of Node has others
  const last = '/proc/sys/kernel/ns_last_pid';
  const node = join(machine.dir, 'node');
  writeFileSync(node, `#!/bin/sh\necho 100 >${last}\nexec ${process.execPath} "$@"\n`, { mode: 0o755 });
  const typed = `${builtProgram('criu-cuda-start')} ${node} ${programFile} restore ${machine.imagesDir} --detach`;
  const script = `echo ${workload.pid - 40} >${last}\n${typed}\nexit $?`;
  const words = ['--pid', '--fork', '--mount-proc', 'sh', '-c', script];
  const { exitCode, stdout, stderr } = await execResult('unshare', words, { env: machine.env });
  expect(exitCode, stdout + stderr).toBe(0);
  expect(logOf('restore.log')).toContain('started before criu');
  await endOfHelpers();
});

it('begins before the device in the trace', async () => {
  const workload = await machine.startIntercepted();
  const before = await checkpoint(workload);
  const words = ['restore', 'images', '--detach', '--trace', 'trace.json'];
  const { node, gate } = await slowNode(machine);
  const { ended } = type(machine, words, node);
  await helper();
  await gate.open();
  const { exitCode, output } = await ended;
  expect(exitCode, output).toBe(0);
  expect(await snapshot(workload)).toBe(before);
  const trace = JSON.parse(readFileSync(join(machine.dir, 'trace.json'), 'utf8')) as TraceDocument;
  const find = (name: string): NamedSpan | undefined => readSpans(trace).find((one) => one.name === name);
  const [program, device] = [find('start of the program'), find('start of the device')];
  expect(program?.startMs).toBe(0);
  expect(device?.startMs).toBeGreaterThan(0);
  expect(device?.startMs).toBeLessThan(program?.endMs ?? 0);
});
