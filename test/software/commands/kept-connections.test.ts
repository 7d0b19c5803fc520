// SPDX-License-Identifier: MIT
// A connection to another process that is kept with --tcp-established, restored again while the kernel still has what
// the killed copy left of it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
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
