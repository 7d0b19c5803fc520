// SPDX-License-Identifier: MIT
/** Clients that the daemon refuses, drops, or has no room for. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { controlSocket } from '../../../lib/pool/index.ts';
import { testTool } from '../../helpers/parallel.ts';
import { Machine } from '../../helpers/machine.ts';

const NOBODY = '65534';
const TICKS_A_SECOND = 100;

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

const daemonLog = (): string => readFileSync(join(machine.runDir, 'pool.log'), 'utf8');

/** Runs a client that asks for nothing, in other namespaces or as another user. */
const client = (program: string, ...args: string[]): Promise<ExecResult> =>
  execResult(program, [...args, testTool('pool-client'), machine.runDir]);

/** CPU time of a process in seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

describe('a client', () => {
  it('in a user namespace of its own is dropped, and the log says why', async () => {
    await machine.startPool();
    const { stdout } = await client('unshare', '--user', '--map-root-user');
    expect(stdout).toBe('connected\ndropped');
    expect(daemonLog()).toMatch(/refused pid \d+ of user 0: it is in another user namespace/);
    expect(daemonLog()).not.toContain('asked for nothing');
    expect((await machine.poolStatus()).operations).toEqual([]);
  });

  it('of another user does not reach the socket, and does not trust its own copy of it', async () => {
    await machine.startPool();
    chmodSync(machine.dir, 0o755);
    const asOther = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'];
    expect((await client('setpriv', ...asOther)).stdout).toContain('refused: Permission denied');
    chmodSync(machine.runDir, 0o755);
    expect((await client('setpriv', ...asOther)).stdout).toContain('refused: Permission denied');
  });
});

describe('a client that says nothing', () => {
  let running: ChildProcess[];
  beforeEach(() => {
    running = [];
  });
  afterEach(() => {
    for (const one of running) one.kill('SIGKILL');
  });

  const startClient = (...words: string[]): AsyncIterator<string> => {
    const child = spawn(testTool('pool-client'), [machine.runDir, ...words]);
    running.push(child);
    return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  };
  const control = (text: string): Socket =>
    connect(controlSocket(machine.runDir))
      .resume()
      .setEncoding('utf8')
      .on('error', () => undefined)
      .once('connect', function begin(this: Socket) {
        this.write(text);
      });

  it('or half of something, is dropped after 10 seconds', async () => {
    await machine.startPool();
    const silent = startClient();
    const half = startClient('half');
    expect((await silent.next()).value).toBe('connected');
    expect((await half.next()).value).toBe('connected');
    expect((await half.next()).value).toBe('dropped');
    const start = performance.now();
    const drip = control('stat');
    const beat = setInterval(() => drip.write('u'), 1000);
    const ends = [once(control(''), 'close'), once(control('status'), 'close'), once(drip, 'close')];
    try {
      await Promise.all([
        ...ends,
        silent.next().then(({ value }) => {
          expect(value).toBe('dropped');
        }),
      ]);
    } finally {
      clearInterval(beat);
    }
    expect(performance.now() - start).toBeGreaterThan(5000);
    expect(daemonLog()).toContain('dropped a client that asked for nothing');
    expect(daemonLog()).toContain('dropped a client that sent no complete line');
    expect((await machine.poolStatus()).devices).toHaveLength(1);
  });
});

it('waits at the limit of descriptors without using the processor, and then serves the client that waited', async () => {
  const { pid } = await machine.startPool();
  await exec('prlimit', ['--pid', String(pid), '--nofile=3:4096']);
  const answer = machine.poolStatus();
  await expect.poll(daemonLog).toContain('a client must wait: Too many open files');
  const waits = (): number => daemonLog().split('a client must wait').length - 1;
  const [cpu, start, before] = [cpuSeconds(pid), performance.now(), waits()];
  await expect.poll(waits).toBeGreaterThanOrEqual(before + 3);
  expect(performance.now() - start).toBeGreaterThan(900); // two waits of 500 ms, and part of one before
  expect(cpuSeconds(pid) - cpu).toBeLessThan(0.2);
  await exec('prlimit', ['--pid', String(pid), '--nofile=4096:4096']);
  expect((await answer).pid).toBe(pid);
});
