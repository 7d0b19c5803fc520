// SPDX-License-Identifier: MIT
/** Stands before a registry, lets some blobs through, and breaks off in the middle of the next one. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const isBlobUpload = (method: string, url: string): boolean =>
  (method === 'PATCH' || method === 'PUT') && url.includes('/blobs/uploads/');

/** A proxy for one registry on the loopback device. */
export class FailingProxy {
  readonly #server: Server;
  readonly port: number;
  /** Transfers that still complete; then {@link onBreak} is called, and every connection is refused. */
  allowed = Number.POSITIVE_INFINITY;
  isBroken = false;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @param onBreak called in the middle of the first transfer that does not complete */
  static async start(registryPort: number, onBreak: () => Promise<void>): Promise<FailingProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new FailingProxy(server);
    server.on('request', (asked, answer) => {
      const { method = '', url = '', headers } = asked;
      if (proxy.isBroken) {
        asked.socket.destroy();
        return;
      }
      const isTransfer =
        (method === 'GET' && url.includes('/blobs/sha256:')) ||
        (isBlobUpload(method, url) && (method === 'PATCH' || Number(headers['content-length']) > 0));
      const breaks = isTransfer && (proxy.allowed -= 1) < 0;
      const forwarded = request(
        { host: '127.0.0.1', port: registryPort, method, path: url, headers },
        (upstream) => {
          answer.writeHead(upstream.statusCode ?? 502, upstream.headers);
          upstream.once('close', () => {
            if (!upstream.complete) asked.socket.destroy();
          });
          upstream.on('error', () => undefined);
          if (!breaks) {
            upstream.pipe(answer);
            return;
          }
          proxy.isBroken = true;
          upstream.once('data', (part: Buffer) => {
            answer.write(part.subarray(0, part.length / 2));
            upstream.destroy();
            void onBreak().then(() => asked.socket.destroy());
          });
        },
      );
      forwarded.on('error', () => asked.socket.destroy());
      if (!breaks || method === 'GET') asked.pipe(forwarded);
      else {
        proxy.isBroken = true;
        asked.once('data', () => {
          forwarded.destroy();
          void onBreak().then(() => asked.socket.destroy());
        });
      }
    });
    return proxy;
  }

  /** Everything goes through again. */
  mend(): void {
    this.allowed = Number.POSITIVE_INFINITY;
    this.isBroken = false;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
