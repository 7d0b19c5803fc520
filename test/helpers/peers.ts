// SPDX-License-Identifier: MIT
/** Nodes that pass blobs on to each other, on the loopback device: a directory for each, and one key. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request, type RequestOptions } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, hexOf } from '../../lib/registry/format.ts';
import { clientTls, parsePeer } from '../../lib/registry/peers/protocol.ts';
import { servePeers, type PeerServer, type PeerServerOptions } from '../../lib/registry/peers/server.ts';
import { PeersSource, type PeersSpec } from '../../lib/registry/peers/source.ts';

export class PeerNodes {
  readonly dir = mkdtempSync(join(tmpdir(), 'peers-'));
  readonly keyFile = join(this.dir, 'key');
  readonly key = randomBytes(32).toString('hex');
  /** Called in {@link close}, the last one first. */
  readonly closers: (() => unknown)[] = [];

  constructor() {
    writeFileSync(this.keyFile, `${this.key}\n`, { mode: 0o600 });
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close();
    rmSync(this.dir, { recursive: true });
  }

  /** A node with these blobs. */
  node(name: string, ...blobs: Buffer[]): Promise<PeerServer> {
    return this.nodeWith({}, name, ...blobs);
  }

  async nodeWith(limits: Partial<PeerServerOptions>, name: string, ...blobs: Buffer[]): Promise<PeerServer> {
    const cache = join(this.dir, name);
    const blobsDir = join(cache, 'blobs/sha256');
    mkdirSync(blobsDir, { recursive: true, mode: 0o700 });
    for (const blob of blobs) writeFileSync(join(blobsDir, hexOf(digestOf(blob))), blob);
    const server = await servePeers({ cache, key: this.keyFile, listen: '127.0.0.1:0', ...limits });
    this.closers.push(server.close);
    return server;
  }

  /** Starts a program of a stranger, or of a node that is not well. @returns its address */
  async listening(server: Server): Promise<string> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.closers.push(() => {
      server.close();
      if ('closeAllConnections' in server) (server.closeAllConnections as () => void)();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** @returns status, and the length of the answer */
  ask(
    address: string,
    path: string,
    options: RequestOptions = {},
  ): Promise<{ status: number; bytes: number }> {
    return new Promise((resolve, reject) => {
      const place = { ...clientTls(this.key), ...parsePeer(address), path, agent: false as const };
      const asked = request({ ...place, ...options }, (answer) => {
        let bytes = 0;
        answer.on('data', (part: Buffer) => (bytes += part.length));
        answer.once('end', () => {
          resolve({ status: answer.statusCode ?? 0, bytes });
        });
      });
      asked.once('error', reject);
      asked.end();
    });
  }

  /** Connections to peers. No limit is reached by a machine that is only busy. */
  source(peers: string[], limits: Partial<PeersSpec> = {}): PeersSource {
    const patient = { answerMs: 60_000, silenceMs: 60_000, graceMs: 60_000 };
    const opened = new PeersSource({ kind: 'peers', peers, key: this.key, ...patient, ...limits });
    this.closers.push(() => {
      opened.close();
    });
    return opened;
  }
}

/** Reads a blob, or a part of it. */
export async function readBlob(
  source: PeersSource,
  blob: Buffer,
  offset = 0,
  length = blob.length - offset,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  const range = { digest: digestOf(blob), size: blob.length, offset, length };
  await source.read(range, (part) => parts.push(Buffer.from(part)), new AbortController().signal);
  return Buffer.concat(parts);
}
