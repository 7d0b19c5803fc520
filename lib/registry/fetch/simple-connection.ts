// SPDX-License-Identifier: MIT
/**
 * Reads the simplest answer of HTTP into buffers that are used for all of it: exactly the bytes that were asked for, with
 * their length. Node's own client makes buffers and events of every 16 KiB with TLS and every 64 KiB without, which costs
 * as much as their SHA-256.
 * @module
 */
import type { OnReadOpts, Socket } from 'node:net';
import { Pace } from './pace.ts';
import { SourceError, type BlobRange } from './source.ts';

const PLAIN_BYTES = 256 * 1024;
/** No record of TLS has more. */
const RECORD_BYTES = 16 * 1024;
/** Smaller parts are put together: fewer calls. A thread may have a connection to each of 64 peers. */
const GATHERED_BYTES = 64 * 1024;
const MOST_HEAD = 16_384;
const END_OF_HEAD = '\r\n\r\n';

/**
 * What came of a request. `taken`: all bytes. A number: the status of another answer, without its bytes. `nothing`: no
 * answer that can be read.
 */
export type Reply = 'taken' | 'nothing' | number;

/** How a connection is made. */
export interface ConnectionOptions {
  /** Of the source, for messages. */
  name: string;
  /** Value of the `host` header. */
  host: string;
  /** Begins to connect. A socket with TLS knows who the other end is when it emits `secureConnect`. */
  open: (onread: OnReadOpts) => Socket;
  /** A connection that is silent for so long is given up. Milliseconds. */
  silenceMs: number;
  /** So is one that sends less, see {@link Pace}. */
  leastRate?: number | undefined;
  /** Nothing is sent before that. @default connect */
  ready?: 'connect' | 'secureConnect' | undefined;
}

type Take = (part: Uint8Array) => void;

/** A request, and what has come of its answer. */
interface Exchange {
  range: BlobRange;
  take: Take;
  head: Buffer;
  /** Bytes that are to come; `undefined` before the head is there. */
  left: number | undefined;
  onHead: () => void;
  resolve: (reply: Reply) => void;
  reject: (error: unknown) => void;
}

const statusOf = (head: string): number => Number(/^HTTP\/1\.1 (\d{3})(?: |\r|$)/.exec(head)?.[1] ?? 0);

/** The headers of an answer. @returns `undefined`: one is not understood, or is there twice */
function headersOf(head: string): Map<string, string> | undefined {
  const headers = new Map<string, string>();
  for (const line of head.split('\r\n').slice(1)) {
    const [, name = '', value = ''] = /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === '' || headers.has(name.toLowerCase())) return undefined;
    headers.set(name.toLowerCase(), value);
  }
  return headers;
}

/** Whether an answer is exactly the wanted bytes. */
function isSimple(
  status: number,
  headers: Map<string, string> | undefined,
  { offset, length, size }: BlobRange,
): boolean {
  if (headers?.get('content-length') !== String(length)) return false;
  if (['transfer-encoding', 'content-encoding'].some((name) => headers.has(name))) return false;
  if (status === 200) return offset === 0 && length === size;
  return status === 206 && headers.get('content-range') === `bytes ${offset}-${offset + length - 1}/${size}`;
}

/** A connection that is kept for the next request, and opened when there is one. */
export class SimpleConnection {
  readonly #options: ConnectionOptions;
  #socket: Socket | undefined;
  #exchange: Exchange | undefined;
  #pace: Pace | undefined;
  /** What has come in small parts and is not handed over yet. */
  readonly #gathered = Buffer.allocUnsafeSlow(GATHERED_BYTES);
  #gatheredBytes = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    const { open, silenceMs, ready } = this.#options;
    const socket = open({
      buffer: Buffer.allocUnsafeSlow(ready === 'secureConnect' ? RECORD_BYTES : PLAIN_BYTES),
      callback: (length, buffer) => {
        if (socket === this.#socket) this.#receive(Buffer.from(buffer.buffer, buffer.byteOffset, length));
        return true;
      },
    });
    const onEnd = (why: string) => (): void => {
      if (socket === this.#socket) this.end(why);
    };
    socket.setTimeout(silenceMs, onEnd(`was silent for ${Math.round(silenceMs / 1000)} s`));
    socket.on('error', ({ message }) => {
      onEnd(`breaks off: ${message}`)();
    });
    socket.on('close', onEnd('closes the connection in the middle'));
    return socket;
  }

  /** The connection is of no use any more. What has come of the wanted bytes is handed over. */
  end(why: string): void {
    const exchange = this.#exchange;
    this.close();
    if (!exchange) return;
    if (exchange.left === undefined) this.#settle('nothing');
    else if (this.#handOver(exchange)) {
      this.#exchange = undefined;
      exchange.reject(new SourceError('passing', `${this.#options.name} ${why}`));
    }
  }

  #settle(reply: Reply): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.resolve(reply);
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
    const head = exchange.head.toString('latin1', 0, Math.max(0, end));
    const body = exchange.head.subarray(end + END_OF_HEAD.length);
    const [status, headers] = [statusOf(head), headersOf(head)];
    if (end !== -1 && isSimple(status, headers, exchange.range)) {
      exchange.left = exchange.range.length;
      exchange.onHead();
      this.#receiveBody(exchange, exchange.left, body);
      return;
    }
    if (headers?.get('content-length') !== '0' || body.length > 0) this.close();
    this.#settle(end === -1 || status < 200 ? 'nothing' : status);
  }

  /** @returns false, and the request has failed, where the taker fails */
  #take({ take, reject }: Exchange, part: Buffer): boolean {
    try {
      take(part);
      return true;
    } catch (error) {
      this.#exchange = undefined;
      this.close();
      reject(error);
      return false;
    }
  }

  #handOver(exchange: Exchange): boolean {
    const part = this.#gathered.subarray(0, this.#gatheredBytes);
    this.#gatheredBytes = 0;
    return part.length === 0 || this.#take(exchange, part);
  }

  /** Hands over what is large at once, and gathers what is small. */
  #add(exchange: Exchange, part: Buffer): boolean {
    if (part.length > GATHERED_BYTES - this.#gatheredBytes && !this.#handOver(exchange)) return false;
    if (part.length >= GATHERED_BYTES) return this.#take(exchange, part);
    this.#gatheredBytes += part.copy(this.#gathered, this.#gatheredBytes);
    return true;
  }

  #receiveBody(exchange: Exchange, left: number, bytes: Buffer): void {
    const part = bytes.subarray(0, left);
    if (!this.#add(exchange, part)) return;
    exchange.left = left - part.length;
    if (exchange.left > 0 || !this.#handOver(exchange)) return;
    if (part.length < bytes.length) this.close();
    this.#settle('taken');
  }

  /**
   * Asks for bytes of a blob.
   * @param lines of the request's head
   * @param onHead the wanted bytes come now
   * @returns anything but `taken` before `take` got anything
   * @throws {@link SourceError} it has broken off; what has come was handed over
   */
  async get(
    path: string,
    lines: readonly string[],
    range: BlobRange,
    take: Take,
    signal: AbortSignal,
    onHead: () => void = () => undefined,
  ): Promise<Reply> {
    const { host, silenceMs, leastRate, ready = 'connect' } = this.#options;
    const stop = (): void => {
      this.end('was stopped');
    };
    this.#pace = new Pace(silenceMs, leastRate, (why) => {
      this.end(why);
    });
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<Reply>((resolve, reject) => {
        this.#gatheredBytes = 0;
        this.#exchange = { range, take, head: Buffer.alloc(0), left: undefined, onHead, resolve, reject };
        const request = [`GET ${path} HTTP/1.1`, `host: ${host}`, ...lines, '', ''].join('\r\n');
        if (this.#socket) this.#socket.write(request);
        else {
          const socket = (this.#socket = this.#open());
          socket.once(ready, () => socket.write(request));
        }
      });
    } finally {
      signal.removeEventListener('abort', stop);
      this.#pace.end();
    }
  }
}
