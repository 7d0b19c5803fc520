// SPDX-License-Identifier: MIT
/**
 * Answers those who have the key: with blobs of this node's cache, by their digest. There is no list, and no path of the
 * machine is ever named.
 * @module
 */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { isErrno } from '../../errno.ts';
import type { ImageCache } from '../cache.ts';
import { nodeId } from './order.ts';
import { HELLO_PATH, NODE_HEADER, serverTls } from './protocol.ts';

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

/** Gets what has been done, as it is done. */
export type CountUse = (done: Partial<PeerServerUse>) => void;

const HANDSHAKE_MS = 10_000;
const SILENCE_MS = 30_000;
/** With less, the calls of the kernel take a fourth more of the processor. */
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

/** Two for each connection that has sent blobs: one is filled while the other is sent. */
const buffers = new WeakMap<Socket, [Buffer, Buffer]>();

function buffersOf(socket: Socket): [Buffer, Buffer] {
  const kept = buffers.get(socket);
  if (kept) return kept;
  const made: [Buffer, Buffer] = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)];
  buffers.set(socket, made);
  return made;
}

/** Parts that are encrypted one after the other, before events of other connections are looked at: about 5 ms. */
const PARTS_AT_ONCE = 8;
const waiting: (() => void)[] = [];

function begin(): void {
  for (const resolve of waiting.splice(0, PARTS_AT_ONCE)) resolve();
  if (waiting.length > 0) setImmediate(begin);
}

/** Waits until it is the turn of another part. So a new connection is answered soon, however many get blobs. */
function turn(): Promise<void> {
  if (waiting.length === 0) setImmediate(begin);
  return new Promise((resolve) => waiting.push(resolve));
}

/** @returns when the bytes are with the kernel, and the buffer can be used again */
function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    response.once('close', reject); // then nothing calls back
    response.write(bytes, (error) => {
      response.off('close', reject);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** @throws the file is shorter than it was, or the other end has gone */
async function sendSpan(file: FileHandle, { from, to }: Span, response: ServerResponse): Promise<void> {
  let [next, sent] = buffersOf(response.req.socket);
  let at = from;
  const fill = async (buffer: Buffer): Promise<Buffer> => {
    const { bytesRead } = await file.read(buffer, 0, Math.min(READ_BYTES, to + 1 - at), at);
    if (bytesRead === 0) throw new Error('the file is shorter than it was');
    at += bytesRead;
    return buffer.subarray(0, bytesRead);
  };
  let filled = await fill(next);
  while (at <= to) {
    [next, sent] = [sent, next];
    await turn();
    [filled] = await Promise.all([fill(next), write(response, filled)]);
  }
  await write(response, filled);
  response.end();
}

async function sendBlob(
  cache: ImageCache,
  digest: string,
  { headers }: IncomingMessage,
  response: ServerResponse,
  count: CountUse,
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
    await sendSpan(file, span, response);
    count({ blobs: 1, bytes: to - from + 1 });
  } finally {
    await file.close();
  }
}

async function answer(
  cache: ImageCache,
  request: IncomingMessage,
  response: ServerResponse,
  count: CountUse,
): Promise<void> {
  const { method, url = '' } = request;
  const [, digest] = BLOB.exec(url) ?? [];
  if (method !== 'GET') end(response, 405);
  else if (url === HELLO_PATH) greet(response, cache);
  else if (digest === undefined) end(response, 404);
  else await sendBlob(cache, digest, request, response, count);
}

/**
 * Answers on connections that something else accepts, and hands over by the event `connection`.
 * @param key hexadecimal
 * @param silenceMs a connection without progress for so long is closed; milliseconds
 */
export function createAnswerer(
  cache: ImageCache,
  key: string,
  count: CountUse,
  silenceMs = SILENCE_MS,
): Server {
  const askMs = Math.min(HANDSHAKE_MS, silenceMs);
  const server = createServer({
    ...serverTls(key),
    ...{ handshakeTimeout: askMs, headersTimeout: askMs, requestTimeout: askMs },
    ...{ keepAliveTimeout: silenceMs, maxHeaderSize: 4096 },
  });
  server.setTimeout(silenceMs, (socket) => {
    socket.destroy();
  });
  server.on('tlsClientError', () => {
    count({ refused: 1 });
  });
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    request.resume(); // nothing that is asked has a body
    answer(cache, request, response, count).catch(() => {
      // the other end has gone or does not read, or the disk fails: a short answer tells it
      count({ unfinished: 1 });
      response.destroy();
    });
  });
  return server;
}
