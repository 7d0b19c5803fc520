// SPDX-License-Identifier: MIT
// Dumped and restored as typed, without a flag: what a server has open decides what CRIU is told.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { projectRoot } from '../../../lib/paths.ts';
import { isAlive, waitUntilCollected } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor, waitUntil } from '../../helpers/wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/reaching_out.py');
const cliPath = join(projectRoot, 'dist/cli.js');

interface Answer {
  ticks: number;
  answers: number;
  inner: string;
  deleted: boolean;
  stream: string | null;
}

let machine: Machine;
const sockets: (Socket | Server)[] = [];
const children: ChildProcess[] = [];
const servers: number[] = [];
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  for (const one of sockets.splice(0)) {
    if ('destroy' in one) one.destroy();
    else one.close();
  }
  for (const pid of servers.splice(0)) await machine.kill(pid);
  for (const one of children.splice(0)) one.kill('SIGKILL');
  await machine.close();
});

const cli = (args: readonly string[]): Promise<ExecResult> =>
  execResult(process.execPath, [cliPath, ...args], { env: machine.env });

interface Started {
  pid: number;
  port: number;
}

/** Where its output goes: to a file that is rewritten, a pipe to `cat`, or a Unix stream to this process. */
type Output = 'file' | 'pipe' | 'stream';

/** Starts the server in a session of its own. */
async function startServer(output: Output, words: readonly string[] = []): Promise<Started> {
  const command = ['python3', program, machine.dir, ...words];
  const log = openSync(logFile(), 'w');
  const child =
    output === 'pipe'
      ? spawn('sh', ['-c', 'setsid "$@" 2>&1 </dev/null | cat', 'sh', ...command], {
          stdio: ['ignore', log, log],
        })
      : spawn('setsid', command, {
          stdio: ['ignore', ...Array<number | 'pipe'>(2).fill(output === 'file' ? log : 'pipe')],
        });
  closeSync(log);
  children.push(child);
  let text = '';
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  const printed = (): RegExpExecArray | null =>
    /pid (\d+) port (\d+)/.exec(output === 'stream' ? text : readFileSync(logFile(), 'utf8'));
  const [, pid, port] = await waitUntil(printed);
  servers.push(Number(pid));
  return { pid: Number(pid), port: Number(port) };
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket, line = 'state'): Promise<Answer> {
  socket.write(`${line}\n`);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return JSON.parse(answer.toString()) as Answer;
}

/** The server is whole: its own connection works, its files are there, its timer runs, its lock is held. */
async function expectWhole({ port, pid }: Started): Promise<Answer> {
  const socket = await connectTo(port);
  const first = await ask(socket);
  await waitFor(async () => {
    expect((await ask(socket)).ticks).toBeGreaterThan(first.ticks);
  });
  expect(first).toMatchObject({ inner: String(first.answers), deleted: true });
  const lock = openSync(join(machine.dir, 'lock'), 'r+');
  const held = await execResult('flock', ['--nonblock', join(machine.dir, 'lock'), 'true']);
  closeSync(lock);
  expect(held.exitCode, 'nobody else gets the lock').toBe(1);
  socket.destroy();
  expect(isAlive(pid)).toBe(true);
  return first;
}

async function dump(server: Started, more: readonly string[] = []): Promise<string> {
  const dumped = await cli([
    'checkpoint',
    '--pid',
    String(server.pid),
    '--images-dir',
    machine.imagesDir,
    ...more,
  ]);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  return dumped.stderr;
}

async function restore(more: readonly string[] = []): Promise<string> {
  const restored = await cli(['restore', '--detach', '--images-dir', machine.imagesDir, ...more]);
  expect(restored.exitCode, restored.stdout + restored.stderr).toBe(0);
  return restored.stderr;
}

async function end({ pid }: Started): Promise<void> {
  await machine.kill(pid);
  await waitUntilCollected(pid, 20_000);
}

const logFile = (): string => join(machine.dir, 'log');

it('a server with clients, a lock, a deleted file, a timer, a stream: any number of times', async () => {
  const peers = createServer();
  sockets.push(peers);
  const socketPath = join(machine.dir, 'journal');
  peers.listen(socketPath);
  await once(peers, 'listening');
  const server = await startServer('pipe', [socketPath]);
  const clients = await Promise.all([connectTo(server.port), connectTo(server.port)]);
  for (const client of clients) expect(await ask(client)).toMatchObject({ stream: 'open' });
  const resets = clients.map((client) => new Promise((resolve) => client.once('close', resolve)));
  const said = await dump(server);
  expect(said).toMatch(/3 connections to processes outside the tree \(TCP 127.0.0.1:\d+ 127.0.0.1:\d+/);
  expect(said).toContain('stdout and stderr (write end)');
  for (const client of clients) client.write('still there?\n');
  await Promise.all(resets);
  for (let round = 0; round < 3; round++) {
    await restore(['--log', logFile()]);
    expect(await expectWhole(server)).toMatchObject({ answers: 3, stream: 'closed' });
    expect(readlinkSync(`/proc/${server.pid}/fd/1`)).toBe(logFile());
    await end(server);
  }
  const lines = readFileSync(logFile(), 'utf8').split('\n');
  expect(lines.filter((line) => line === 'asked state').length).toBeGreaterThanOrEqual(6);
});

it.each(['pipe', 'stream'] as const)('output into a %s appears where restore writes', async (output) => {
  const server = await startServer(output);
  await dump(server);
  const child = spawn(process.execPath, [cliPath, 'restore', '--images-dir', machine.imagesDir], {
    env: { ...process.env, ...machine.env },
    stdio: ['ignore', openSync(logFile(), 'a'), 'inherit'],
  });
  const exited = once(child, 'exit'); // it may end before this test has seen the server end
  children.push(child);
  const client = await waitFor(() => connectTo(server.port)); // it listens a moment after it exists
  await ask(client, 'after the restore');
  await waitFor(() => {
    expect(readFileSync(logFile(), 'utf8')).toMatch(
      /restored \d+ in[^]*asked after the restore|asked after the restore[^]*restored/,
    );
  });
  await end(server);
  await exited;
});

it('a log written through > grows, and the next restore continues it', async () => {
  const server = await startServer('file');
  await ask(await connectTo(server.port), 'before');
  await dump(server);
  for (const line of ['first', 'second']) {
    await restore();
    await ask(await connectTo(server.port), line);
    await end(server);
  }
  const asked = readFileSync(logFile(), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('asked'));
  expect(asked).toEqual(['asked before', 'asked first', 'asked second']);
});

it('a dump that leaves it running leaves its clients and its output', async () => {
  const server = await startServer('pipe');
  const client = await connectTo(server.port);
  const before = await ask(client);
  await dump(server, ['--leave-running']);
  expect(await ask(client)).toMatchObject({ answers: before.answers + 1, deleted: true });
  expect(readlinkSync(`/proc/${server.pid}/fd/1`)).toMatch(/^pipe:/);
  await expectWhole(server);
});

it('--tcp-established keeps the connections of clients', async () => {
  const server = await startServer('file');
  const client = await connectTo(server.port);
  const before = await ask(client);
  expect(await dump(server, ['--tcp-established'])).not.toContain('connections to processes outside');
  await restore(['--tcp-established']);
  expect(await ask(client)).toMatchObject({ answers: before.answers + 1 });
  await end(server);
});

it('--tcp-close is remembered by the images', async () => {
  const server = await startServer('file');
  await dump(server, ['--tcp-close']);
  await restore();
  const client = await connectTo(server.port);
  client.write('state\n'); // its own connection is closed, so it cannot answer
  await new Promise((resolve) => client.once('close', resolve));
  expect(isAlive(server.pid)).toBe(true);
  await end(server);
});

it('requests that arrive while it is dumped do not prevent the dump', async () => {
  const server = await startServer('file');
  let isOver = false;
  const knocking = Array.from({ length: 3 }, async () => {
    while (!isOver) {
      const socket = connect(server.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.on('connect', () => socket.write('x\n'));
      await new Promise((resolve) => setTimeout(resolve, 1));
      socket.destroy();
    }
  });
  await dump(server);
  isOver = true;
  await Promise.all(knocking);
  await restore();
  await expectWhole(server);
  await end(server);
});
