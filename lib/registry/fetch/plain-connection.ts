// SPDX-License-Identifier: MIT
/**
 * Reads the simplest answer of HTTP without TLS into a buffer that is used for all of it: exactly the bytes that were asked
 * for, with their length. Node's own client makes two buffers and several events of every 64 KiB; it gets every other
 * answer.
 * @module
 */
import { connect, type Socket } from 'node:net';
import { Pace } from './pace.ts';
import { SourceError, type BlobRange } from './source.ts';

const BUFFER_BYTES = 256 * 1024;
const MOST_HEAD = 16_384;
const END_OF_HEAD = '\r\n\r\n';

/** A request, and what has come of its answer. */
interface Exchange {
  range: BlobRange;
  take: (part: Uint8Array) => void;
  head: Buffer;
  /** Bytes that are to come; `undefined` before the head is there. */
  left: number | undefined;
  resolve: (isDone: boolean) => void;
  reject: (error: unknown) => void;
}

/** Whether the head of an answer says that exactly the wanted bytes follow. */
function isSimple(head: string, { offset, length, size }: BlobRange): boolean {
  const [first = '', ...lines] = head.split('\r\n');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = '', value = ''] = /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === '' || headers.has(name.toLowerCase())) return false;
    headers.set(name.toLowerCase(), value);
  }
  if (headers.get('content-length') !== String(length)) return false;
  if (['transfer-encoding', 'content-encoding'].some((name) => headers.has(name))) return false;
  if (/^HTTP\/1\.1 200(?: |$)/.test(first)) return offset === 0 && length === size;
  return (
    /^HTTP\/1\.1 206(?: |$)/.test(first) &&
    headers.get('content-range') === `bytes ${offset}-${offset + length - 1}/${size}`
  );
}

/** What is given up, see {@link Pace}. */
interface Patience {
  silenceMs: number;
  leastRate: number | undefined;
}

/** A connection without TLS that is kept for the next request. */
export class PlainConnection {
  readonly #name: string;
  readonly #url: URL;
  readonly #patience: Patience;
  #pace: Pace | undefined;
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;

  /** @param name of the source, for messages */
  constructor(name: string, origin: string, patience: Patience) {
    this.#name = name;
    this.#url = new URL(origin);
    this.#patience = patience;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    const { hostname, port } = this.#url;
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port === '' ? 80 : port),
      onread: {
        buffer: Buffer.allocUnsafe(BUFFER_BYTES),
        callback: (length, buffer) => {
          this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          return true;
        },
      },
    });
    const { silenceMs } = this.#patience;
    socket.setTimeout(silenceMs, () => {
      this.#end(`was silent for ${Math.round(silenceMs / 1000)} s`);
    });
    socket.on('error', ({ message }) => {
      this.#end(`breaks off: ${message}`);
    });
    socket.on('close', () => {
      this.#end('closes the connection in the middle');
    });
    return socket;
  }

  /** The connection is of no use any more. Without a byte of the blob, Node's client asks again, and says why. */
  #end(why: string): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.close();
    if (exchange?.left === undefined) exchange?.resolve(false);
    else exchange.reject(new SourceError('passing', `${this.#name} ${why}`));
  }

  #receive(bytes: Buffer): void {
    const exchange = this.#exchange;
    this.#pace?.add(bytes.length);
    if (!exchange)
      this.close(); // nothing was asked for
    else if (exchange.left === undefined) this.#receiveHead(exchange, bytes);
    else this.#receiveBody(exchange, exchange.left, bytes);
  }

  #receiveHead(exchange: Exchange, bytes: Buffer): void {
    exchange.head = Buffer.concat([exchange.head, bytes]);
    const end = exchange.head.indexOf(END_OF_HEAD);
    if (end === -1 && exchange.head.length <= MOST_HEAD) return;
    if (end === -1 || !isSimple(exchange.head.toString('latin1', 0, end), exchange.range)) {
      this.#end('');
      return;
    }
    const { length } = exchange.range;
    exchange.left = length;
    this.#receiveBody(exchange, length, exchange.head.subarray(end + END_OF_HEAD.length));
  }

  #receiveBody(exchange: Exchange, left: number, bytes: Buffer): void {
    const part = bytes.subarray(0, left);
    try {
      if (part.length > 0) exchange.take(part);
    } catch (error) {
      this.#exchange = undefined;
      this.close();
      exchange.reject(error);
      return;
    }
    exchange.left = left - part.length;
    if (exchange.left > 0) return;
    this.#exchange = undefined;
    if (part.length < bytes.length) this.close();
    exchange.resolve(true);
  }

  /**
   * Asks for bytes of a blob.
   * @param lines of the request's head
   * @returns false, before `take` got anything, if the answer is not the simplest
   * @throws {@link SourceError} it has broken off
   */
  async get(
    path: string,
    lines: readonly string[],
    range: BlobRange,
    take: (part: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const socket = (this.#socket ??= this.#open());
    const stop = (): void => {
      this.#end('was stopped');
    };
    const { silenceMs, leastRate } = this.#patience;
    this.#pace = new Pace(silenceMs, leastRate, (why) => {
      this.#end(why);
    });
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<boolean>((resolve, reject) => {
        this.#exchange = { range, take, head: Buffer.alloc(0), left: undefined, resolve, reject };
        socket.write([`GET ${path} HTTP/1.1`, `host: ${this.#url.host}`, ...lines, '', ''].join('\r\n'));
      });
    } finally {
      signal.removeEventListener('abort', stop);
      this.#pace.end();
    }
  }
}
