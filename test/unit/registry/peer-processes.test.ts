// SPDX-License-Identifier: MIT
// The processes that send blobs to other nodes: which of them gets a connection, and what is left when one ends.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readChildren } from '../../../lib/process/index.ts';
import { digestOf } from '../../../lib/registry/format.ts';
import { clientTls, parsePeer } from '../../../lib/registry/peers/protocol.ts';
import { PeerNodes, readBlob } from '../../helpers/peers.ts';
import { waitUntil } from '../../helpers/wait.ts';

let nodes: PeerNodes;
beforeEach(() => {
  nodes = new PeerNodes();
});
afterEach(() => nodes.close());

const blob = randomBytes(3_000_000);

const isWorker = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(join('peers', 'worker.js'));
  } catch {
    return false; // it has ended
  }
};
const workersOf = (pid: number): number[] => readChildren(pid).filter(isWorker);

const portOf = (address: string): number => parsePeer(address)?.port ?? 0;

/** How many connections to a port of this machine a process has. */
function connectionsOf(pid: number, port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => local.endsWith(`:${hex}`) && state === '01')
    .map((fields) => `socket:[${fields[9] ?? ''}]`);
  const names = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // it was closed
    }
  });
  return names.filter((name) => inodes.includes(name)).length;
}

async function connectTo(address: string): Promise<Socket> {
  const socket = connect(portOf(address), '127.0.0.1').on('error', () => undefined);
  nodes.closers.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function refused(address: string, options: RequestOptions): Promise<void> {
  await expect(nodes.ask(address, '/v1/', options)).rejects.toThrow();
}

it('each process gets as many connections as the others, and this one keeps none', async () => {
  const { address } = await nodes.nodeWith({ processes: 3 }, 'a', blob);
  const counts = (): number[] => workersOf(process.pid).map((pid) => connectionsOf(pid, portOf(address)));
  for (let nr = 0; nr < 6; nr += 1) await connectTo(address);
  await expect.poll(counts, { timeout: 30_000 }).toEqual([2, 2, 2]);
  expect(connectionsOf(process.pid, portOf(address))).toBe(0);
});

const path = (): string => `/v1/blobs/${digestOf(blob)}`;

it.each<[string, (address: string) => Promise<unknown>, silenceMs?: number]>([
  [
    'leaves in the middle',
    async (address) => {
      const socket = connectTls({ ...clientTls(nodes.key), ...parsePeer(address) });
      await once(socket, 'secureConnect');
      socket.destroy();
    },
  ],
  ['has another key', (address) => refused(address, clientTls(randomBytes(32).toString('hex')))],
  ['says nothing', async (address) => once((await connectTo(address)).resume(), 'close'), 500],
  ['has got its answer', (address) => nodes.ask(address, path())],
])('a connection that %s makes room for another', async (_name, use, silenceMs) => {
  const { address } = await nodes.nodeWith({ processes: 1, maxConnections: 1, silenceMs }, 'a', blob);
  await use(address);
  const status = (): Promise<number> =>
    nodes.ask(address, path()).then(
      (answer) => answer.status,
      () => 0,
    );
  await expect.poll(status, { timeout: 30_000 }).toBe(200);
});

it('a connection that is too much is closed', async () => {
  const { address } = await nodes.nodeWith({ processes: 2, maxConnections: 2 }, 'a', blob);
  await connectTo(address);
  await connectTo(address);
  await refused(address, {});
});

it('a process that ends by itself ends the server, and it says so', async () => {
  const server = await nodes.nodeWith({ processes: 2 }, 'a', blob);
  expect((await readBlob(nodes.source([server.address]), blob)).equals(blob)).toBe(true);
  const [victim, other] = workersOf(process.pid);
  if (victim === undefined || other === undefined) throw new Error('two processes were wanted');
  process.kill(victim, 'SIGKILL');
  await expect(server.failed).rejects.toMatchObject({
    code: 'ERR_REGISTRY',
    message: 'a process that sends blocks was ended by SIGKILL',
  });
  await waitUntil(() => !isWorker(other));
  await expect(nodes.ask(server.address, '/v1/')).rejects.toThrow('ECONNREFUSED');
  expect(server.use()).toMatchObject({ blobs: 1, bytes: blob.length });
});

it('a server that is closed has no processes and no connections', async () => {
  const server = await nodes.nodeWith({ processes: 2 }, 'a', blob);
  const sockets = [await connectTo(server.address), await connectTo(server.address)];
  const closed = Promise.all(sockets.map((socket) => once(socket.resume(), 'close')));
  await server.close();
  await closed;
  expect(workersOf(process.pid)).toEqual([]);
});
