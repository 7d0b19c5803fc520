// SPDX-License-Identifier: MIT
/** Servers of the tests that answer a connection with a line of JSON, and close it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { exec } from '../../lib/exec.ts';

/** The answer at a port of this machine. */
export async function answerAt<Answer>(port: number): Promise<Answer> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString()));
  await once(socket, 'close');
  return JSON.parse(text) as Answer;
}

/** The answer at a port inside the network namespace of a process. */
export async function answerInside<Answer>(pid: number, port: number): Promise<Answer> {
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; cat <&3`;
  const { stdout } = await exec('nsenter', ['--target', String(pid), '--net', 'bash', '-c', script]);
  return JSON.parse(stdout) as Answer;
}
