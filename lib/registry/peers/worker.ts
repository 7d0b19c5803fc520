// SPDX-License-Identifier: MIT
/**
 * A process that answers on connections which `criu-cuda image serve` has accepted. It ends when that ends, however it does.
 * @module
 */
import type { Socket } from 'node:net';
import { ImageCache } from '../cache.ts';
import { createAnswerer, type PeerServerUse } from './answer.ts';

/** The first message to the process; each later one has a connection with it. */
export interface WorkerInput {
  /** Directory of the cache. */
  cache: string;
  /** The key that nodes share, hexadecimal: arguments and variables of a process could be read by others. */
  key: string;
  silenceMs: number | undefined;
}

/** What has been done since the last message. */
export interface WorkerReport extends Partial<PeerServerUse> {
  /** Connections that have ended. */
  closed?: number;
}

const report = (done: WorkerReport): void => void process.send?.(done);

process.on('disconnect', () => process.exit());
// a terminal and systemd send them to all processes at once: the one that accepts connections ends the others
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

process.once('message', ({ cache, key, silenceMs }: WorkerInput) => {
  const server = createAnswerer(new ImageCache({ cache }), key, report, silenceMs);
  process.on('message', (_, socket?: Socket) => {
    const onClose = (): void => {
      report({ closed: 1 });
    };
    if (!socket) {
      onClose(); // it has ended on its way
      return;
    }
    socket.once('close', onClose);
    server.emit('connection', socket);
  });
});
