// SPDX-License-Identifier: MIT
/** What criu-cuda-isolate tells about the namespaces, in lines. @module */
import type { Socket } from 'node:net';
import { readLines } from './request.ts';

/** Follows the lines for as long as this program runs; that alone does not keep it running. */
export class InsideReport {
  /** The first process of new namespaces, seen from here. */
  initPid: number | undefined;
  /** What went wrong. */
  readonly failures: string[] = [];
  readonly #socket: Socket;
  readonly #ended = new Map<number, number>();
  readonly #waiting = new Map<number, (status: number | undefined) => void>();

  /** @param socket the other end of what `--report` names */
  constructor(socket: Socket) {
    this.#socket = socket;
    readLines(socket, (line) => {
      this.#read(line);
    });
    socket
      .on('error', () => undefined)
      .once('close', () => {
        for (const tell of this.#waiting.values()) tell(undefined);
      });
    socket.unref();
  }

  #read(line: string): void {
    const [, word = '', rest = ''] = /^(\w+) (.*)$/.exec(line) ?? [];
    const [pid = 0, status = 0] = rest.split(' ').map(Number);
    if (word === 'init') this.initPid = pid;
    if (word === 'failed') this.failures.push(rest);
    if (word !== 'ended') return;
    this.#ended.set(pid, status);
    this.#waiting.get(pid)?.(status);
  }

  /**
   * Waits for the end of a child of the first process.
   * @param pid its pid inside
   * @returns what waitpid says; `undefined` if the first process has ended without telling
   */
  async end(pid: number): Promise<number | undefined> {
    const status = this.#ended.get(pid);
    if (status !== undefined || this.#socket.destroyed) return status;
    this.#socket.ref();
    try {
      return await new Promise<number | undefined>((resolve) => {
        this.#waiting.set(pid, resolve);
      });
    } finally {
      this.#socket.unref();
    }
  }
}
