// SPDX-License-Identifier: MIT
/**
 * Sends the blobs of this node's cache to other nodes that have the key. They have to know a blob's digest: there is no list,
 * and no path of the machine is ever named.
 * @module
 */
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { isErrno, reasonOf } from '../../errno.ts';
import { EnvironmentError, UsageError } from '../../errors.ts';
import { ImageCache, type CacheOptions } from '../cache.ts';
import { readPeerKey } from './key.ts';
import { nodeId } from './order.ts';
import { HELLO_PATH, NODE_HEADER, parsePeer, serverTls } from './protocol.ts';

/** How a node serves its cache. */
export interface PeerServerOptions extends CacheOptions {
  /** File with the key that nodes share. */
  key: string;
  /** Address of this node, and port: `10.0.0.7:7400`, `[::]:7400`. Port 0: any free one. */
  listen: string;
  /** Connections at the same time; others are closed. @default 512 */
  maxConnections?: number | undefined;
  /** A connection without progress for so long is closed. Milliseconds. @default 30_000 */
  silenceMs?: number | undefined;
}

/** What a server has done. */
export interface PeerServerUse {
  /** Blobs, or ranges of them, that were sent completely. */
  blobs: number;
  /** Their bytes. */
  bytes: number;
  /** Answers that were broken off. */
  unfinished: number;
  /** Connections of those who do not have the key, or say nothing. */
  refused: number;
}

/** A server that runs. */
export interface PeerServer {
  /** `ADDRESS:PORT`. */
  address: string;
  /** What it has done so far. */
  use: () => PeerServerUse;
  /** Breaks off what is being sent, and ends. */
  close: () => Promise<void>;
}

const HANDSHAKE_MS = 10_000;
const SILENCE_MS = 30_000;
const MOST_CONNECTIONS = 512;
const READ_BYTES = 2 ** 20;
const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

const BLOB = /^\/v1\/blobs\/(sha256:[\da-f]{64})$/;

interface Span {
  from: number;
  /** The last byte. */
  to: number;
}

/** The bytes that a request wants. @returns `undefined`: there are no such bytes */
function spanOf(range: string | undefined, size: number): Span | undefined {
  if (range === undefined) return { from: 0, to: size - 1 };
  const [, first, last] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(range) ?? [];
  const from = Number(first);
  const to = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return from <= to ? { from, to } : undefined;
}

/** Opens a blob. @returns `undefined`: it is not there */
async function openBlob(path: string): Promise<{ file: FileHandle; size: number } | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ELOOP')) return undefined;
    throw error;
  }
  const stat = await file.stat();
  if (stat.isFile() && stat.size > 0) return { file, size: stat.size };
  await file.close();
  return undefined;
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 }).end();
}

function greet(response: ServerResponse, { dir }: ImageCache): void {
  const node = nodeId(dir);
  response.writeHead(204, node === undefined ? {} : { [NODE_HEADER]: node }).end();
}

async function sendBlob(
  cache: ImageCache,
  digest: string,
  { headers }: IncomingMessage,
  response: ServerResponse,
  use: PeerServerUse,
): Promise<void> {
  const path = cache.blobPath(digest);
  const found = await openBlob(path);
  if (!found) {
    end(response, 404);
    return;
  }
  const { file, size } = found;
  try {
    const span = spanOf(headers.range, size);
    if (!span) {
      response.writeHead(416, { 'content-range': `bytes */${size}`, 'content-length': 0 }).end();
      return;
    }
    cache.touch(path);
    const { from, to } = span;
    const isWhole = headers.range === undefined;
    response.writeHead(isWhole ? 200 : 206, {
      'content-type': 'application/octet-stream',
      'content-length': to - from + 1,
      ...(isWhole ? {} : { 'content-range': `bytes ${from}-${to}/${size}` }),
    });
    const stream = file.createReadStream({
      start: from,
      end: to,
      highWaterMark: READ_BYTES,
      autoClose: false,
    });
    await pipeline(stream, response);
    use.blobs += 1;
    use.bytes += to - from + 1;
  } finally {
    await file.close();
  }
}

async function answer(
  cache: ImageCache,
  request: IncomingMessage,
  response: ServerResponse,
  use: PeerServerUse,
): Promise<void> {
  const { method, url = '' } = request;
  const [, digest] = BLOB.exec(url) ?? [];
  if (method !== 'GET') end(response, 405);
  else if (url === HELLO_PATH) greet(response, cache);
  else if (digest === undefined) end(response, 404);
  else await sendBlob(cache, digest, request, response, use);
}

function createPeerServer(
  cache: ImageCache,
  key: string,
  { silenceMs = SILENCE_MS, maxConnections = MOST_CONNECTIONS }: PeerServerOptions,
  use: PeerServerUse,
): Server {
  const askMs = Math.min(HANDSHAKE_MS, silenceMs);
  const server = createServer({
    ...serverTls(key),
    ...{ handshakeTimeout: askMs, headersTimeout: askMs, requestTimeout: askMs },
    ...{ keepAliveTimeout: silenceMs, maxHeaderSize: 4096 },
  });
  server.maxConnections = maxConnections;
  server.setTimeout(silenceMs, (socket) => {
    socket.destroy();
  });
  server.on('tlsClientError', () => (use.refused += 1));
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    request.resume(); // nothing that is asked has a body
    answer(cache, request, response, use).catch(() => {
      // the other end has gone or does not read, or the disk fails: a short answer tells it
      use.unfinished += 1;
      response.destroy();
    });
  });
  return server;
}

const shownAddress = ({ address, port, family }: AddressInfo): string =>
  family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;

/**
 * Serves the blobs of the cache until it is closed.
 * @throws {@link UsageError} the key or the address cannot be used, or another user may change the cache
 * @throws {@link EnvironmentError} the port is taken, or the address is not one of this machine
 */
export async function servePeers(options: PeerServerOptions): Promise<PeerServer> {
  const { listen, key } = options;
  const place = parsePeer(listen);
  if (!place)
    throw new UsageError(
      `"${listen}" is not an address and a port`,
      'name an address of this node that the other nodes reach: 10.0.0.7:7400',
    );
  const use: PeerServerUse = { blobs: 0, bytes: 0, unfinished: 0, refused: 0 };
  const server = createPeerServer(new ImageCache(options), readPeerKey(key), options, use);
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.listen(place);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new EnvironmentError(`cannot listen at ${listen}: ${reasonOf(error)}`, [
      { what: 'a free port', remedy: 'name another port, or another address of this machine' },
    ]);
  }
  return {
    address: shownAddress(server.address() as AddressInfo),
    use: () => ({ ...use }),
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of connections) socket.destroy(); // also of those who have not proved to have the key
      await closed;
    },
  };
}
