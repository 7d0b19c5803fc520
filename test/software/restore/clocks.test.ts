// SPDX-License-Identifier: MIT
// Clocks that count from the start of a machine, and everything that waits by them, continue where the dump was, although
// another machine, or this one after a reboot, is days ahead or behind. A time namespace stands for such a machine.
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { killTree, waitForExit } from '../../../lib/process/index.ts';
import { answerAt } from '../../helpers/answers.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/clocks.py');
const DAY = 86_400;
/** Long enough for two dumps and a restore on a busy machine. */
const SECONDS = 12;
/** What a wait may take longer, on a busy machine; what this is about is a day. */
const LATE = 60;
const WAITS = [
  ...[
    'timerfd',
    'timerfd at a time',
    'timerfd of CLOCK_BOOTTIME',
    'sleep',
    'condition',
    'futex',
    'select',
    'epoll',
  ],
  ...['asyncio', 'setitimer', 'POSIX timer', 'POSIX timer of CLOCK_BOOTTIME'],
];

interface Answer {
  monotonic: number;
  boottime: number;
  elapsed: number;
  over: Record<string, number>;
  ticks: Record<'timerfd' | 'asyncio' | 'timerfd that has expired', number>;
}

const machines: Machine[] = [];
const children: ChildProcess[] = [];
const pids: number[] = [];
afterEach(async () => {
  for (const pid of pids.splice(0)) await killTree(pid);
  for (const one of children.splice(0)) one.kill('SIGKILL');
  await Promise.all(machines.splice(0).map((machine) => machine.close()));
});

/** Words of a command that runs another one on a machine whose clocks are ahead. */
const ahead = (seconds: number): string[] =>
  seconds === 0 ? [] : ['unshare', '--time', '--monotonic', String(seconds), '--boottime', String(seconds)];

async function start(machine: Machine, under: readonly string[]): Promise<{ pid: number; port: number }> {
  const path = join(machine.dir, 'output');
  const output = openSync(path, 'w');
  const words = [...under, 'setsid', 'python3', program, String(SECONDS)];
  const child = spawn(words[0] ?? '', words.slice(1), { stdio: ['ignore', output, output] });
  closeSync(output);
  children.push(child);
  const [, pid, port] = await waitUntil(() => /pid (\d+) port (\d+)/.exec(readFileSync(path, 'utf8')));
  return { pid: Number(pid), port: Number(port) };
}

const ask = (port: number): Promise<Answer> => answerAt(port);

async function cli(machine: Machine, args: readonly string[], under: readonly string[] = []): Promise<void> {
  const words = [...under, process.execPath, join(projectRoot, 'dist/cli.js'), ...args];
  const result = await execResult(words[0] ?? '', words.slice(1), { env: machine.env });
  expect(result.exitCode, result.stdout + result.stderr).toBe(0);
}

async function dump(machine: Machine, pid: number, imagesDir: string): Promise<void> {
  await cli(machine, ['checkpoint', String(pid), imagesDir]);
  await waitForExit(pid);
}

/** Restores, and checks that no time has passed. */
async function restore(
  machine: Machine,
  pid: number,
  port: number,
  imagesDir: string,
  before: Answer,
  under: readonly string[],
): Promise<Answer> {
  await cli(machine, ['restore', imagesDir, '--detach'], under);
  pids.push(pid);
  const after = await ask(port);
  for (const clock of ['monotonic', 'boottime', 'elapsed'] as const) {
    expect(after[clock], clock).toBeGreaterThan(before[clock]);
    expect(after[clock], clock).toBeLessThan(before[clock] + LATE);
  }
  expect(readlinkSync(`/proc/${pid}/ns/time`)).not.toBe(readlinkSync('/proc/self/ns/time'));
  return after;
}

async function expectWaitsInTime(port: number): Promise<void> {
  const last = await waitUntil(
    async () => {
      const answer = await ask(port);
      return Object.keys(answer.over).length === WAITS.length ? answer : undefined;
    },
    { interval: 200 },
  );
  for (const wait of WAITS) {
    expect(last.over[wait], wait).toBeGreaterThanOrEqual(SECONDS - 0.01);
    expect(last.over[wait], wait).toBeLessThan(SECONDS + LATE);
  }
  // the periodic ones have neither stopped nor caught up with a day
  for (const timer of ['timerfd', 'asyncio'] as const) {
    expect(last.ticks[timer], timer).toBeGreaterThan(0.5 * last.elapsed);
    expect(last.ticks[timer], timer).toBeLessThan(12 * last.elapsed);
  }
  expect(last.ticks['timerfd that has expired']).toBe(1);
}

/** Dumps a program twice and restores it each time, on a machine whose clocks are other ones. */
async function expectContinues(dumpAhead: number, restoreAhead: number): Promise<void> {
  const machine = new Machine();
  machines.push(machine);
  const { pid, port } = await start(machine, ahead(dumpAhead));
  const own = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  const begun = await ask(port);
  expect(begun.boottime).toBeGreaterThan(own + dumpAhead - 60);
  await waitUntil(async () => (await ask(port)).elapsed > 0.5);
  const before = await ask(port);
  expect(before.over).toEqual({});
  await dump(machine, pid, machine.imagesDir);
  const between = await restore(machine, pid, port, machine.imagesDir, before, ahead(restoreAhead));
  expect(between.over).toEqual({});
  const again = join(machine.dir, 'again');
  await dump(machine, pid, again);
  await restore(machine, pid, port, again, between, ahead(restoreAhead));
  await expectWaitsInTime(port);
}

// at once, because both wait for their clocks
it('continue on a machine that is a day behind or ahead of the dumped program, and after a second dump there', async () => {
  await Promise.all([expectContinues(DAY, 0), expectContinues(0, DAY)]);
});
