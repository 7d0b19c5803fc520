// SPDX-License-Identifier: MIT
/**
 * A registry for one test: Debian's docker-registry on the loopback device, with its storage in a directory. Its log of
 * requests tells what was moved.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import { findOnPath } from '../../lib/machine/index.ts';
import { criuProgram } from './criu.ts';
import { waitUntil } from './wait.ts';

/** Skips a test where a program is missing; CI has all of them. */
export function needPrograms(context: TestContext, ...names: string[]): void {
  for (const name of names) {
    if (findOnPath(name, process.env.PATH) === undefined)
      context.skip(`${name} is not installed: apt-get install --no-install-recommends ${name}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** One request that the registry has answered. */
export interface AnsweredRequest {
  method: string;
  path: string;
  status: number;
  /** Of the answer. */
  bytes: number;
}

/** A running registry. */
export class TestRegistry {
  readonly dir: string;
  readonly port: number;
  #child: ChildProcess | undefined;
  #markers = 0;

  private constructor(dir: string, port: number) {
    this.dir = dir;
    this.port = port;
  }

  /** @param extra lines of its configuration, such as for passwords */
  static async start(dir: string, extra = ''): Promise<TestRegistry> {
    mkdirSync(dir, { recursive: true });
    // a test neither knows what the user or other tests have pushed, nor leaves anything there
    const criu = criuProgram(); // it may be in the user's cache
    Object.assign(process.env, { XDG_CACHE_HOME: join(dir, 'user-cache'), CRIU_CUDA_CRIU: criu });
    const registry = new TestRegistry(dir, await freePort());
    const config = [
      'version: 0.1',
      'log: {level: error}',
      `storage: {filesystem: {rootdirectory: ${join(dir, 'storage')}}, delete: {enabled: true}}`,
      `http: {addr: "127.0.0.1:${registry.port}", secret: test}`,
      extra,
    ];
    writeFileSync(join(dir, 'config.yml'), config.join('\n'));
    await registry.run();
    return registry;
  }

  /** Starts it, also again after {@link stop}. */
  async run(): Promise<void> {
    const log = openSync(join(this.dir, 'log'), 'a');
    this.#child = spawn('docker-registry', ['serve', join(this.dir, 'config.yml')], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    await waitUntil(async () => {
      const answer = await fetch(`http://127.0.0.1:${this.port}/v2/`).catch(() => undefined);
      return answer?.status === 200 || answer?.status === 401;
    });
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  /** A reference in it. */
  reference(name: string): string {
    return `127.0.0.1:${this.port}/${name}`;
  }

  /** The file that has the bytes of a blob. */
  blobPath(digest: string): string {
    const hex = digest.replace('sha256:', '');
    return join(this.dir, 'storage/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  /** What is in its log of requests, each after its answer. */
  requests(): AnsweredRequest[] {
    const lines = readFileSync(join(this.dir, 'log'), 'utf8').split('\n');
    return lines.flatMap((line) => {
      const [, method, path, status, bytes] = /"([A-Z]+) (\S+) HTTP\/1\.1" (\d+) (\d+)/.exec(line) ?? [];
      if (method === undefined || path === undefined) return [];
      return [{ method, path, status: Number(status), bytes: Number(bytes) }];
    });
  }

  /**
   * What it was asked after so many requests. It logs a request when the client has the answer already, so this asks it
   * something itself, until nothing else has come into the log between two such questions.
   */
  async answered(from = 0): Promise<AnsweredRequest[]> {
    for (let before = -1; ;) {
      const marker = `/v2/marker-${(this.#markers += 1)}/tags/list`;
      await (await fetch(`http://127.0.0.1:${this.port}${marker}`)).arrayBuffer();
      await waitUntil(() => this.requests().some(({ path }) => path === marker));
      const { length } = this.requests();
      if (length === before + 1)
        return this.requests()
          .slice(from)
          .filter(({ path }) => !path.startsWith('/v2/marker-'));
      before = length;
    }
  }

  /** How many requests it has logged, for {@link answered}. */
  async asked(): Promise<number> {
    await this.answered();
    return this.requests().length;
  }

  /** Bytes of blobs that were asked for and sent. */
  async sentBytes(from = 0): Promise<number> {
    return (await this.answered(from))
      .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }
}
