// SPDX-License-Identifier: MIT
/** A server whose processes share memory and semaphores in /dev/shm, with its other files on a disk. */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../lib/paths.ts';
import { readProcessTree, waitForExit } from '../../lib/process/index.ts';
import { answerAt } from './answers.ts';
import type { Machine } from './machine.ts';
import { MemoryFiles } from './memory-files.ts';
import { waitUntil } from './wait.ts';

const program = join(projectRoot, 'test/fixtures/servers/sharing.py');

let started = 0;

export class SharingServer {
  pid = 0;
  #port = 0;
  readonly #machine: Machine;
  readonly #disk = mkdtempSync(join(tmpdir(), 'ccr-sharing-'));
  readonly #name = `ccr-sharing-${process.pid}-${(started += 1)}`;
  /** What its processes share: 100 MiB, of which they use a byte at each end. */
  readonly segment = `/dev/shm/${this.#name}`;
  readonly #files = new MemoryFiles();

  private constructor(machine: Machine) {
    this.#machine = machine;
  }

  static async start(machine: Machine): Promise<SharingServer> {
    const server = new SharingServer(machine);
    const path = join(server.#disk, 'output');
    const output = openSync(path, 'w');
    spawn('setsid', ['python3', program, join(server.#disk, 'work'), server.#name], {
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const printed = (): RegExpExecArray | null => /pid (\d+) port (\d+)/.exec(readFileSync(path, 'utf8'));
    [server.pid = 0, server.#port = 0] = (await waitUntil(printed)).slice(1).map(Number);
    server.#files.add(server.pid);
    return server;
  }

  async ask(): Promise<unknown> {
    const answer = await answerAt(this.#port);
    this.#files.add(this.pid); // both processes have opened theirs
    return answer;
  }

  /** Names that CRIU has given to deleted files and has not removed. */
  linkRemaps(): string[] {
    return this.#files.linkRemaps();
  }

  /** Kills the tree, and waits until all of it is collected. */
  async end(): Promise<void> {
    const tree = readProcessTree(this.pid).map((one) => one.pid);
    await this.#machine.kill(this.pid);
    await Promise.all(tree.map((one) => waitForExit(one)));
  }

  /** Ends it, and removes its files: nobody else removes the semaphores of a server that was killed. */
  async close(): Promise<void> {
    await this.end();
    rmSync(this.#disk, { recursive: true });
    this.#files.remove();
  }
}
