// SPDX-License-Identifier: MIT
/** A port of the checkpoint that another process has by now, with real CRIU. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkpoint } from '../../../lib/checkpoint/index.ts';
import { boundInodes, isAlive, killTree } from '../../../lib/process/index.ts';
import { restore } from '../../../lib/restore/index.ts';
import { criuProgram } from '../../helpers/criu.ts';

let dir: string;
let pid: number;
let ports: { tcp: number; udp: number };
let options: { criu: string; imagesDir: string; env: Record<string, string> };

/** Listens on a TCP port and is bound to a UDP port, which it prints. */
const program = `
import socket, time
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
print(tcp.getsockname()[1], udp.getsockname()[1], flush=True)
import os; null = os.open("/dev/null", os.O_RDWR); os.dup2(null, 1)
while True: time.sleep(1000)`;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ccr-port-'));
  options = {
    criu: criuProgram(),
    imagesDir: join(dir, 'images'),
    env: { CRIU_CUDA_RUN_DIR: join(dir, 'run') },
  };
  const child = spawn('python3', ['-c', program], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  pid = child.pid ?? 0;
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const [tcp = 0, udp = 0] = line.split(' ').map(Number);
  ports = { tcp, udp };
  if (!child.stdout.readableEnded) await once(child.stdout, 'end');
  await checkpoint({ ...options, pid });
});
afterEach(async () => {
  await killTree(pid);
  rmSync(dir, { recursive: true, force: true });
});

it('is named with its owner, and the restore succeeds when it is free', async () => {
  const server = createServer().listen(ports.tcp, '127.0.0.1');
  await once(server, 'listening');
  await expect(restore(options)).rejects.toMatchObject({
    code: 'ERR_RESTORE_PORT_TAKEN',
    message: expect.stringContaining(
      `TCP port ${ports.tcp} (127.0.0.1) is in use by ${process.pid} (`,
    ) as string,
    hint: expect.stringContaining('end the process that has the port') as string,
  });
  expect(isAlive(pid)).toBe(false);
  server.close();
  await once(server, 'close');
  await restore(options);
  expect(boundInodes(readFileSync('/proc/net/tcp', 'utf8'), 'tcp', ports.tcp)).toHaveLength(1);
});

it('may be one of UDP', async () => {
  const socket = createSocket('udp4').bind(ports.udp, '127.0.0.1');
  await once(socket, 'listening');
  await expect(restore(options)).rejects.toThrow(
    `UDP port ${ports.udp} (127.0.0.1) is in use by ${process.pid} (`,
  );
  socket.close();
});
