// SPDX-License-Identifier: MIT
/**
 * Sends the blobs of this node's cache to other nodes that have the key. One process encrypts about 1 GB a second, so this
 * one only accepts connections, and gives each to that of several others which has the fewest.
 * @module
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { reasonOf } from '../../errno.ts';
import { EnvironmentError, UsageError } from '../../errors.ts';
import { projectRoot } from '../../paths.ts';
import { ImageCache, type CacheOptions } from '../cache.ts';
import { RegistryError } from '../error.ts';
import type { PeerServerUse } from './answer.ts';
import { readPeerKey } from './key.ts';
import { parsePeer, type PeerAddress } from './protocol.ts';
import type { WorkerInput, WorkerReport } from './worker.ts';

/** How a node serves its cache. */
export interface PeerServerOptions extends CacheOptions {
  /** File with the key that nodes share. */
  key: string;
  /** Address of this node, and port: `10.0.0.7:7400`, `[::]:7400`. Port 0: any free one. */
  listen: string;
  /** Connections at the same time; others are closed. @default 512 */
  maxConnections?: number | undefined;
  /** Processes that send, each with at most one core. @default one for each three cores, and at most 6 */
  processes?: number | undefined;
  /** A connection without progress for so long is closed. Milliseconds. @default 30_000 */
  silenceMs?: number | undefined;
}

/** A server that runs. */
export interface PeerServer {
  /** `ADDRESS:PORT`. */
  address: string;
  /** What it has done so far. */
  use: () => PeerServerUse;
  /** Rejects when one of its processes has ended by itself; the others end, too. */
  failed: Promise<never>;
  /** Breaks off what is being sent, and ends. */
  close: () => Promise<void>;
}

const MOST_CONNECTIONS = 512;
const MOST_PROCESSES = 6;
/** The others are of the programs that the node is for. */
const CORES_EACH = 3;

const workerFile = join(projectRoot, 'dist', 'registry', 'peers', 'worker.js');

/** The processes that send, and what they have done. */
class Workers {
  readonly use: PeerServerUse = { blobs: 0, bytes: 0, unfinished: 0, refused: 0 };
  readonly failed: Promise<never>;
  readonly #connections = new Map<ChildProcess, number>();
  readonly #ended: Promise<unknown>[] = [];
  /** Connections that are not yet on their way to one. */
  readonly #given = new Set<Socket>();
  #isClosing = false;

  constructor(processes: number, input: WorkerInput) {
    this.failed = new Promise((_, reject) => {
      for (let nr = 0; nr < processes; nr += 1) this.#start(input, reject);
    });
    this.failed.catch(() => undefined); // the caller may not look
  }

  get connections(): number {
    return [...this.#connections.values()].reduce((sum, one) => sum + one, 0);
  }

  #start(input: WorkerInput, fail: (error: Error) => void): void {
    const child = fork(workerFile, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#connections.set(child, 0);
    child.on('message', (done: WorkerReport) => {
      this.#add(child, done);
    });
    const end = (how: string): void => {
      if (this.#isClosing) return;
      fail(
        new RegistryError('ERR_REGISTRY', `a process that sends blocks ${how}`, {
          hint: 'start the command again, as systemd does with Restart=on-failure',
        }),
      );
      void this.close();
    };
    child.on('error', (error) => {
      end(`does not work: ${reasonOf(error)}`);
    });
    child.once('exit', (code, signal) => {
      end(signal === null ? `has ended with ${code ?? 0}` : `was ended by ${signal}`);
    });
    this.#ended.push(once(child, 'exit').catch(() => undefined)); // or it has not begun
    child.send(input, () => undefined); // where it has ended before, its end says so
  }

  #add(child: ChildProcess, { closed = 0, ...done }: WorkerReport): void {
    this.#connections.set(child, (this.#connections.get(child) ?? 0) - closed);
    for (const name of Object.keys(done) as (keyof PeerServerUse)[]) this.use[name] += done[name] ?? 0;
  }

  /** Gives a connection to the process that has the fewest. */
  give(socket: Socket): void {
    const [first] = [...this.#connections].sort(([, a], [, b]) => a - b);
    if (!first || this.#isClosing) {
      socket.destroy();
      return;
    }
    const [child, connections] = first;
    this.#connections.set(child, connections + 1);
    this.#given.add(socket);
    // Node would keep a connection open here that does not arrive
    child.send({}, socket, { keepOpen: true }, (error) => {
      this.#given.delete(socket);
      socket.destroy();
      if (error) this.#add(child, { closed: 1 });
    });
  }

  /** Ends them in the middle of what they do. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const child of this.#connections.keys()) child.kill('SIGKILL');
    await Promise.all(this.#ended);
    // the first turn may have begun before they ended; the second reads all that they have reported
    await turn();
    await turn();
    for (const socket of this.#given) socket.destroy();
  }
}

async function listen(server: Server, place: PeerAddress, shown: string): Promise<void> {
  server.listen(place);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new EnvironmentError(`cannot listen at ${shown}: ${reasonOf(error)}`, [
      { what: 'a free port', remedy: 'name another port, or another address of this machine' },
    ]);
  }
}

const shownAddress = ({ address, port, family }: AddressInfo): string =>
  family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;

/**
 * Serves the blobs of the cache until it is closed.
 * @throws {@link UsageError} the key or the address cannot be used, or another user may change the cache
 * @throws {@link EnvironmentError} the port is taken, or the address is not one of this machine
 */
export async function servePeers(options: PeerServerOptions): Promise<PeerServer> {
  const { key } = options;
  const place = parsePeer(options.listen);
  if (!place)
    throw new UsageError(
      `"${options.listen}" is not an address and a port`,
      'name an address of this node that the other nodes reach: 10.0.0.7:7400',
    );
  const { maxConnections = MOST_CONNECTIONS, silenceMs } = options;
  const { processes = Math.min(MOST_PROCESSES, Math.ceil(availableParallelism() / CORES_EACH)) } = options;
  const input = { cache: new ImageCache(options).dir, key: readPeerKey(key), silenceMs };
  const server = createServer({ pauseOnConnect: true, noDelay: true });
  await listen(server, place, options.listen);
  const workers = new Workers(processes, input);
  server.on('connection', (socket: Socket) => {
    if (workers.connections < maxConnections) workers.give(socket);
    else socket.destroy();
  });
  workers.failed.catch(() => server.close());
  const close = async (): Promise<void> => {
    server.close(); // its event never comes after connections were given away
    await workers.close();
  };
  return {
    address: shownAddress(server.address() as AddressInfo),
    use: () => ({ ...workers.use }),
    failed: workers.failed,
    close,
  };
}
