// SPDX-License-Identifier: MIT
/** Stands before a registry, and holds back some blobs until they are released. */
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export class HoldingProxy {
  readonly #server: Server;
  readonly port: number;
  /** Blobs that are not sent before {@link release}. */
  readonly held = new Set<string>();
  /** Those that were asked for and are held. */
  readonly asked = new Set<string>();
  #release: () => void = () => undefined;
  readonly #released: Promise<void>;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  static async start(registryPort: number): Promise<HoldingProxy> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new HoldingProxy(server);
    server.on('request', (asked, answer) => {
      const { method, url = '', headers } = asked;
      const digest = /sha256:[0-9a-f]{64}$/.exec(url)?.[0] ?? '';
      const forward = (): void => {
        const forwarded = request({ host: '127.0.0.1', port: registryPort, method, path: url, headers });
        forwarded.once('response', (upstream) => {
          answer.writeHead(upstream.statusCode ?? 502, upstream.headers);
          upstream.on('error', () => answer.destroy()).pipe(answer);
        });
        forwarded.on('error', () => asked.socket.destroy());
        asked.pipe(forwarded);
      };
      if (!proxy.held.has(digest)) forward();
      else {
        proxy.asked.add(digest);
        void proxy.#released.then(forward);
      }
    });
    return proxy;
  }

  release(): void {
    this.#release();
  }

  /** Closes all connections and refuses new ones. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
