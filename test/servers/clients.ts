// SPDX-License-Identifier: MIT
/** Clients that keep their connections open and ask one question after the other, while the server behind them is dumped. */
import { once } from 'node:events';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Between two attempts to connect. Milliseconds. */
const AGAIN_MS = 50;
const ANSWER_MS = 20_000;

/** One connection, one question at a time. */
export interface Connection {
  /** @param question a path for HTTP, a command for redis, a method for gRPC */
  ask(question: string): Promise<string>;
  close(): void;
}

/** Connects to a port of 127.0.0.1. */
export type Connect = (port: number) => Promise<Connection>;

/** Where an answer is in what has arrived. @returns its text and where the next one begins; `undefined` for more bytes */
type Parse = (received: Buffer) => { text: string; end: number } | undefined;

function streamConnection(socket: Socket, write: (question: string) => string, parse: Parse): Connection {
  const answer = async (question: string): Promise<string> => {
    socket.write(write(question));
    let received = Buffer.alloc(0);
    for (;;) {
      const [data] = (await once(socket, 'data')) as [Buffer];
      received = Buffer.concat([received, data]);
      const found = parse(received);
      if (found) return found.text;
    }
  };
  return {
    ask: (question) => {
      const closed = new Promise<never>((_, reject) => {
        const fail = (): void => {
          reject(new Error(`the connection was closed before the answer to ${question}`));
        };
        if (socket.destroyed) fail();
        else socket.once('close', fail);
      });
      closed.catch(() => undefined);
      return Promise.race([answer(question), closed]).finally(() => {
        socket.removeAllListeners('close');
      });
    },
    close: () => socket.destroy(),
  };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => undefined); // 'close' follows
  socket.setTimeout(ANSWER_MS, () => socket.destroy());
  return socket;
}

const parseHttp: Parse = (received) => {
  const head = received.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const fields = received.subarray(0, head).toString();
  const end = head + 4 + Number(/^content-length: *(\d+)/im.exec(fields)?.[1] ?? 0);
  if (received.length < end) return undefined;
  const text = received.subarray(head + 4, end).toString();
  if (!fields.startsWith('HTTP/1.1 200 ')) throw new Error(`${fields}\n${text}`);
  return { text, end };
};

export const http: Connect = async (port) =>
  streamConnection(await open(port), (path) => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`, parseHttp);

/** Simple answers, numbers and strings of redis's protocol; what it refuses is thrown. */
const parseRedis: Parse = (received) => {
  const line = received.indexOf('\r\n');
  if (line < 0) return undefined;
  const text = received.subarray(1, line).toString();
  if (received[0] === 0x2d) throw new Error(text);
  if (received[0] !== 0x24 || text === '-1') return { text, end: line + 2 };
  const end = line + 2 + Number(text) + 2;
  return received.length < end ? undefined : { text: received.subarray(line + 2, end - 2).toString(), end };
};

export const redis: Connect = async (port) =>
  streamConnection(await open(port), (command) => `${command}\r\n`, parseRedis);

const MESSAGE_HEADER = 5;

function call(session: ClientHttp2Session, method: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH } = constants;
    const stream = session.request({
      [HTTP2_HEADER_METHOD]: 'POST',
      [HTTP2_HEADER_PATH]: method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const received: Buffer[] = [];
    let status: unknown;
    stream.on('data', (data: Buffer) => received.push(data));
    stream.on('trailers', (fields: Record<string, unknown>) => (status = fields['grpc-status']));
    stream.on('error', reject);
    stream.on('close', () => {
      if (status === '0') resolve(Buffer.concat(received).subarray(MESSAGE_HEADER).toString());
      else reject(new Error(`${method} failed with gRPC status ${String(status)}`));
    });
    stream.end(Buffer.alloc(MESSAGE_HEADER)); // a message without contents
  });
}

export const grpc: Connect = async (port) => {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  await once(session, 'connect');
  session.on('error', () => undefined);
  return {
    ask: (method) => call(session, method),
    close: () => {
      session.destroy();
    },
  };
};

/** Many clients, each on a connection of its own; one that is cut off connects again. */
export class Clients {
  readonly #running: Promise<void>[];
  readonly #answered: number[];
  readonly #connections = new Set<Connection>();
  #stopped = false;
  /** How many questions they have asked, answered or not. */
  asked = 0;

  constructor(connectTo: Connect, port: number, question: string, many = 100) {
    this.#answered = Array<number>(many).fill(0);
    this.#running = this.#answered.map((_, index) => this.#run(connectTo, port, question, index));
  }

  async #run(connectTo: Connect, port: number, question: string, index: number): Promise<void> {
    while (!this.#hasStopped()) {
      let connection: Connection | undefined;
      try {
        connection = await connectTo(port);
        this.#connections.add(connection);
        while (!this.#hasStopped()) {
          this.asked += 1;
          await connection.ask(question);
          this.#answered[index] = (this.#answered[index] ?? 0) + 1;
        }
      } catch {
        if (this.#hasStopped()) return;
        await delay(AGAIN_MS);
      } finally {
        connection?.close();
        if (connection) this.#connections.delete(connection);
      }
    }
  }

  #hasStopped(): boolean {
    return this.#stopped;
  }

  /** How many answers the client with the fewest has had. */
  get least(): number {
    return Math.min(...this.#answered);
  }

  get total(): number {
    return this.#answered.reduce((sum, one) => sum + one, 0);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const connection of this.#connections) connection.close();
    await Promise.all(this.#running);
  }
}
