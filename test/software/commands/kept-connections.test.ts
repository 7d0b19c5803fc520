// SPDX-License-Identifier: MIT
// A connection to another process that is kept with --tcp-established, restored again while the kernel still has what
// the killed copy left of it; and a port that the kernel keeps because the program has closed a connection there.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { execResult, type ExecResult } from '../../../lib/exec.ts';
import { programFile } from '../../../lib/paths.ts';
import { isAlive } from '../../../lib/process/index.ts';
import { Machine } from '../../helpers/machine.ts';
import { waitFor } from '../../helpers/wait.ts';

/** Says what it is told, on a connection that it has opened. */
const program = `
import signal, socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
try:
    while data := connection.recv(100):
        connection.sendall(data)
except ConnectionResetError:
    pass
signal.pause()
`;

let machine: Machine;
let child: ChildProcess;
beforeEach(() => {
  machine = new Machine();
});
afterEach(async () => {
  await machine.kill(child.pid ?? 0);
  await machine.close();
});

const cli = (...words: string[]): Promise<ExecResult> =>
  execResult(process.execPath, [programFile, ...words], { env: machine.env });

async function says(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  const [data] = (await once(socket, 'data')) as [Buffer];
  expect(data.toString()).toBe(text);
}

/** Numbers of states in /proc/net/tcp. */
const FIN_WAIT_2 = '05';
const TIME_WAIT = '06';

/** The states of the kernel's sockets with this port on the far side. */
function statesOf(port: number): string[] {
  const remote = port.toString(16).toUpperCase().padStart(4, '0');
  return [...readFileSync('/proc/net/tcp', 'utf8').matchAll(/^ *\d+: \S+ \w+:(\w+) (\w+) /gm)].flatMap(
    ([, far, state = '']) => (far === remote ? [state] : []),
  );
}

it.each([
  ['FIN-WAIT-2', FIN_WAIT_2, true],
  ['TIME-WAIT', TIME_WAIT, false],
])('of which %s is left is restored again at once', async (_name, state, allowHalfOpen) => {
  const server = createServer({ allowHalfOpen }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  child = spawn('setsid', ['python3', '-c', program, String(port)], { stdio: 'ignore' });
  const pid = String(child.pid);
  const [socket] = await accepted;
  try {
    socket.on('error', () => undefined).resume();
    await says(socket, 'before');
    const ended = once(child, 'exit');
    const dumped = await cli('checkpoint', '--tcp-established', pid, machine.imagesDir);
    expect(dumped.exitCode, dumped.stderr).toBe(0);
    await ended;
    const first = await cli('restore', '--detach', '--tcp-established', machine.imagesDir);
    expect(first.exitCode, first.stderr).toBe(0);
    await says(socket, 'after');

    await machine.kill(Number(pid));
    await waitFor(() => {
      expect(statesOf(port)).toEqual([state]);
    });
    const second = await cli('restore', '--detach', '--tcp-established', machine.imagesDir);
    expect(second.exitCode, second.stderr).toBe(0);
    expect(isAlive(Number(pid))).toBe(true);
  } finally {
    socket.destroy();
    server.close();
  }
});

/** Listens without SO_REUSEADDR, as NCCL does, and has closed a connection there first. Then says what each client tells it. */
const listener = `
import socket
listening = socket.socket()
listening.bind(("127.0.0.1", int(__import__("sys").argv[1])))
listening.listen()
client = socket.create_connection(listening.getsockname())
accepted, _ = listening.accept()
accepted.close()
client.close()
print(listening.getsockname()[1], flush=True)
while True:
    accepted, _ = listening.accept()
    accepted.sendall(accepted.recv(100))
    accepted.close()
`;

/** The states of the kernel's sockets with this local port. */
function localStates(port: number): string[] {
  const local = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = readFileSync('/proc/net/tcp', 'utf8').matchAll(/^ *\d+: \w+:(\w+) \S+ (\w+) /gm);
  return [...rows].flatMap(([, near, state = '']) => (near === local ? [state] : []));
}

it('a port at which a program has just closed a connection is listened at again at once', async () => {
  child = spawn('setsid', ['python3', '-c', listener, '0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = String(child.pid);
  const [data] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  const port = Number(data);
  const ended = once(child, 'exit');
  const dumped = await cli('checkpoint', pid, machine.imagesDir);
  expect(dumped.exitCode, dumped.stderr).toBe(0);
  await ended;
  expect(localStates(port)).toEqual([TIME_WAIT]);
  for (const round of ['first', 'second']) {
    const restored = await cli('restore', '--detach', '--log', join(machine.dir, 'log'), machine.imagesDir);
    expect(restored.exitCode, restored.stderr).toBe(0);
    const socket = connect(port, '127.0.0.1');
    await says(socket, round);
    await once(socket.resume(), 'end');
    socket.destroy();
    await machine.kill(Number(pid));
    await waitFor(() => {
      expect(localStates(port)).toEqual([TIME_WAIT]);
    });
  }
});
