// SPDX-License-Identifier: MIT
/** A registry with blobs in memory that answers as a test wants it. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WantedBlob } from '../../lib/registry/fetch/blob.ts';
import type { HttpSourceSpec } from '../../lib/registry/fetch/http-source.ts';

/** A request, and the blob that it is for. */
export interface Asked {
  request: IncomingMessage;
  answer: ServerResponse;
  bytes: Buffer;
  /** The range that is asked for; all of it without one. */
  from: number;
  to: number;
  /** How many requests came before. */
  number: number;
}

/** Answers with the range, as a registry does. */
export function send({ answer, bytes, from, to, request }: Asked): void {
  const part = bytes.subarray(from, to + 1);
  const range = { 'content-range': `bytes ${from}-${to}/${bytes.length}` };
  const isPart = request.headers.range !== undefined;
  answer.writeHead(isPart ? 206 : 200, { 'content-length': part.length, ...(isPart ? range : {}) });
  answer.end(part);
}

/** Sends the beginning of what is asked for, and closes the connection. */
export function sendAndClose(asked: Asked, length: number): void {
  const { answer, bytes, from, to } = asked;
  answer.writeHead(asked.request.headers.range === undefined ? 200 : 206, {
    'content-length': to + 1 - from,
    'content-range': `bytes ${from}-${to}/${bytes.length}`,
  });
  answer.write(bytes.subarray(from, from + length), () => answer.destroy());
}

export class BlobServer {
  readonly #server: Server;
  readonly #blobs = new Map<string, Buffer>();
  readonly requests: IncomingMessage[] = [];
  readonly port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(respond: (asked: Asked) => void = send): Promise<BlobServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const started = new BlobServer(server);
    server.on('request', (request, answer) => {
      const number = started.requests.push(request) - 1;
      const bytes = started.#blobs.get(request.url?.split('/').at(-1) ?? '') ?? Buffer.alloc(0);
      const [, from = '0', to = String(bytes.length - 1)] =
        /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      respond({ request, answer, bytes, from: Number(from), to: Number(to), number });
    });
    return started;
  }

  add(size: number): WantedBlob & { bytes: Buffer } {
    const bytes = randomBytes(size);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    this.#blobs.set(digest, bytes);
    return { digest, size, bytes };
  }

  /** Other bytes under the same digest. */
  damage(digest: string): void {
    const bytes = Buffer.from(this.#blobs.get(digest) ?? '');
    bytes[bytes.length >> 1] = ~(bytes[bytes.length >> 1] ?? 0) & 0xff;
    this.#blobs.set(digest, bytes);
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  spec(more: Partial<HttpSourceSpec> = {}): HttpSourceSpec {
    return {
      ...{ kind: 'http', name: 'the registry', origin: this.origin, repository: 'm/p' },
      ...{ authorization: undefined, ca: undefined, plainTo: 'loopback' },
      ...more,
    };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
