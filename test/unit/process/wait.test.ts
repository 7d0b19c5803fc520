// SPDX-License-Identifier: MIT
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  becomeSubreaper,
  decodeWaitStatus,
  exitCodeOf,
  isAlive,
  killTree,
  readStat,
  readProcessTree,
  waitForExit,
  waitUntilCollected,
  watchProcess,
} from '../../../lib/process/index.ts';

let undo: () => void;
beforeEach(() => {
  undo = becomeSubreaper();
});
afterEach(() => {
  undo();
});

/** A shell that ends at once and leaves `script` behind; the script may read a line from fd 3 to wait for `go`. */
async function orphan(script: string): Promise<{ pid: number; go: () => void }> {
  const shell = spawn('sh', ['-c', `sh -c '${script}' >&2 & echo $!`], {
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  });
  let text = '';
  shell.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const gate = shell.stdio[3] as Writable;
  await once(shell, 'exit');
  if (text === '' && shell.stdout) await once(shell.stdout, 'end');
  return { pid: Number(text), go: () => gate.end('go\n') };
}

/** A tracer of the process, which detaches when its input ends; until then nobody can collect the process. */
async function trace(pid: number): Promise<{ detach: () => void }> {
  const seize = 0x4206;
  const script = `import ctypes; ctypes.CDLL(None).ptrace(${seize}, ${pid}, 0, 0); print("traced", flush=True); input()`;
  const tracer = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(tracer.stdout, 'data');
  return { detach: () => tracer.stdin.end('\n') };
}

/** Waits for a condition that another process causes and for which there is no event. */
async function until(holds: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!holds() && Date.now() < end) await new Promise((resolve) => setImmediate(resolve));
  expect(holds()).toBe(true);
}

describe('waitForExit', () => {
  it('collects an orphan with its exit code', async () => {
    const { pid, go } = await orphan('read line <&3; exit 7');
    go();
    expect(await waitForExit(pid)).toEqual({ kind: 'exited', code: 7 });
    expect(readStat(pid)).toBeUndefined();
  });

  it('reports the signal that ended an orphan', async () => {
    const { pid } = await orphan('exec sleep 60');
    expect(readStat(pid)?.ppid).toBe(process.pid);
    process.kill(pid, 'SIGUSR1');
    expect(await waitForExit(pid)).toEqual({ kind: 'signaled', signal: 10, coreDumped: false });
  });

  it('collects a traced process when its tracer detaches, as criu does with what it has dumped', async () => {
    const { pid } = await orphan('exec sleep 60');
    const tracer = await trace(pid);
    const waiting = waitForExit(pid);
    const watched = watchProcess(pid);
    process.kill(pid, 'SIGKILL');
    expect(await watched?.ended({ timeoutMs: 20_000 })).toBe(true);
    watched?.close();
    expect(readStat(pid)).toMatchObject({ state: 'Z', ppid: process.pid });
    tracer.detach();
    expect(await waiting).toEqual({ kind: 'signaled', signal: 9, coreDumped: false });
    expect(readStat(pid)).toBeUndefined();
  });

  it('does not collect children that Node started', async () => {
    const child = spawn('sh', ['-c', 'exit 5']);
    const closed = once(child, 'exit');
    const { pid, go } = await orphan('read line <&3; exit 3');
    go();
    expect(await waitForExit(pid)).toEqual({ kind: 'exited', code: 3 });
    expect((await closed)[0]).toBe(5);
  });

  it('knows no status of a process that is not its child', async () => {
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const parentEnded = once(parent, 'exit');
    const waiting = waitForExit(pid);
    process.kill(pid, 'SIGKILL');
    expect(await waiting).toEqual({ kind: 'unknown' });
    await parentEnded;
  });

  it('returns at once for a pid that does not exist', async () => {
    const { pid, go } = await orphan('read line <&3; exit 0');
    go();
    await waitForExit(pid);
    expect(await waitForExit(pid)).toEqual({ kind: 'unknown' });
  });

  it('stops waiting at the timeout and does not touch the process', async () => {
    const { pid } = await orphan('exec sleep 60');
    expect(await waitForExit(pid, { timeoutMs: 20 })).toBeUndefined();
    expect(isAlive(pid)).toBe(true);
    await killTree(pid);
  });

  it('stops waiting with the reason of the abort', async () => {
    const { pid } = await orphan('exec sleep 60');
    const stop = new AbortController();
    const waiting = waitForExit(pid, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await killTree(pid);
  });
});

describe('waitUntilCollected', () => {
  it('returns when another wait of this program has collected the process, whatever its limit', async () => {
    const { pid } = await orphan('exec sleep 60');
    const tracer = await trace(pid);
    const waiting = waitForExit(pid);
    process.kill(pid, 'SIGKILL');
    await until(() => readStat(pid)?.state === 'Z');
    const collected = waitUntilCollected(pid, 0);
    tracer.detach();
    expect(await collected).toBeUndefined();
    expect(await waiting).toEqual({ kind: 'signaled', signal: 9, coreDumped: false });
  });

  it('returns a zombie that nobody collects at its limit', async () => {
    const { pid } = await orphan('exec sleep 60');
    process.kill(pid, 'SIGKILL');
    await until(() => readStat(pid)?.state === 'Z');
    expect(await waitUntilCollected(pid, 10)).toMatchObject({ pid, state: 'Z' });
    await waitForExit(pid);
    expect(await waitUntilCollected(pid, 10)).toBeUndefined();
  });
});

describe('becomeSubreaper', () => {
  it('is undone only by the first caller', async () => {
    const inner = becomeSubreaper();
    inner();
    const { pid } = await orphan('exec sleep 60');
    expect(readStat(pid)?.ppid).toBe(process.pid);
    await killTree(pid);
  });
});

describe('killTree', () => {
  it('ends a whole tree and leaves no zombie', async () => {
    const { pid } = await orphan('sleep 60 & sh -c "sleep 60 & wait" & wait');
    await until(() => readProcessTree(pid).length === 4);
    const pids = readProcessTree(pid).map((stat) => stat.pid);
    await killTree(pid);
    expect(pids.filter((one) => readStat(one) !== undefined)).toEqual([]);
  });

  it('gives the root time to end', async () => {
    const { pid } = await orphan('trap "exit 0" TERM; sleep 60 & wait');
    await until(() => readProcessTree(pid).length === 2);
    const started = Date.now();
    await killTree(pid, 60_000);
    expect(readStat(pid)).toBeUndefined();
    expect(Date.now() - started).toBeLessThan(30_000);
  });

  it('kills what ignores SIGTERM, and the orphans it leaves', async () => {
    const { pid } = await orphan('trap "" TERM; sleep 60 & wait');
    await until(() => readProcessTree(pid).length === 2);
    const pids = readProcessTree(pid).map((stat) => stat.pid);
    await killTree(pid, 50);
    expect(pids.filter((one) => readStat(one) !== undefined)).toEqual([]);
  });
});

describe('wait status', () => {
  it('becomes the exit code a shell would report', () => {
    expect(exitCodeOf(decodeWaitStatus(0x0300))).toBe(3);
    expect(exitCodeOf(decodeWaitStatus(9))).toBe(137);
    expect(decodeWaitStatus(0x8b)).toEqual({ kind: 'signaled', signal: 11, coreDumped: true });
    expect(exitCodeOf({ kind: 'unknown' })).toBe(1);
  });
});
