// SPDX-License-Identifier: MIT
/** Starting and stopping the daemon, and its metrics, under unusual conditions. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlSocket, startPool, stopPool, servePoolMetrics } from '../../../lib/pool/index.ts';
import { watchProcess } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.close());

/** Answers every request at the control socket like this. */
async function answerWith(answer: unknown): Promise<Server> {
  mkdirSync(machine.runDir);
  const server = createServer((socket) => socket.end(`${JSON.stringify(answer)}\n`));
  server.listen(controlSocket(machine.runDir));
  await once(server, 'listening');
  return server;
}

it('starts after a daemon was killed and left its socket', async () => {
  const killed = await machine.startPool();
  const exit = watchProcess(killed.pid)?.ended();
  process.kill(killed.pid, 'SIGKILL');
  await exit;
  expect(statSync(controlSocket(machine.runDir)).isSocket()).toBe(true);
  const next = await machine.startPool();
  expect(next.pid).not.toBe(killed.pid);
  expect(next.devices).toHaveLength(1);
  expect(await stopPool({ runDir: machine.runDir })).toBe(next.pid);
  expect(existsSync(controlSocket(machine.runDir))).toBe(false);
});

it('is not started next to a daemon that does not report its status', async () => {
  const server = await answerWith({ error: { errno: 1, message: 'not now' } });
  try {
    await expect(startPool({ runDir: machine.runDir, env: machine.env })).rejects.toThrow('not now');
    expect(existsSync(join(machine.runDir, 'pool.log'))).toBe(false);
  } finally {
    server.close();
  }
});

describe('a daemon that does not end', () => {
  let daemon: ChildProcess;
  let server: Server;

  beforeEach(async () => {
    const script = 'trap "echo told" TERM; echo ready; while :; do read _; done';
    daemon = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'ignore'] });
    if (daemon.stdout) await once(daemon.stdout, 'data');
    const status = { version: '0', pid: daemon.pid, driver: 0, budget_bytes: 0, devices: [], images: [] };
    server = await answerWith({ ...status, counters: {} });
  });
  afterEach(() => {
    daemon.kill('SIGKILL');
    server.close();
  });

  it('is not reported as ended', async () => {
    await expect(stopPool({ runDir: machine.runDir, timeoutMs: 100 })).rejects.toMatchObject({
      code: 'ERR_POOL',
      message: `cuda-poold ${daemon.pid} has not ended after 0.1 s`,
    });
    expect(daemon.exitCode).toBeNull();
  });

  it('is not waited for when the caller aborts', async () => {
    const caller = new AbortController();
    const reason = new Error('enough');
    daemon.stdout?.once('data', () => {
      caller.abort(reason);
    });
    const stopped = stopPool({ runDir: machine.runDir, signal: caller.signal, timeoutMs: 20_000 });
    await expect(stopped).rejects.toBe(reason);
  });
});

describe('the metrics socket', () => {
  it('does not replace a file', async () => {
    const path = join(machine.dir, 'notes.txt');
    writeFileSync(path, 'mine');
    await expect(servePoolMetrics({ socketPath: path })).rejects.toThrow(
      `${path} exists and is not a socket`,
    );
    expect(readFileSync(path, 'utf8')).toBe('mine');
  });

  it('replaces one that an ended server left', async () => {
    const path = join(machine.dir, 'metrics.sock');
    const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))`;
    await once(spawn(process.execPath, ['-e', script, path]), 'exit');
    const left = statSync(path).ino;
    const server = await servePoolMetrics({ socketPath: path }, { runDir: machine.runDir });
    expect(statSync(path).isSocket()).toBe(true);
    expect(statSync(path).ino).not.toBe(left);
    server.close();
  });
});
