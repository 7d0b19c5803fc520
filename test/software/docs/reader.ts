// SPDX-License-Identifier: MIT
/** A reader who types the commands of a page, in their order, with a server of their own. */
import { expect } from 'vitest';
import { execResult } from '../../../lib/exec.ts';
import { criuProgram } from '../../helpers/criu.ts';
import type { Block } from '../../helpers/shell-blocks.ts';
import type { Terminal } from './terminal.ts';

/** Commands that keep the terminal, and what they print when they are ready. */
const staying: readonly (readonly [RegExp, RegExp])[] = [
  [/^criu-cuda restore (?!.*--detach)/, /restored \d+ in/],
  [/^criu-cuda context watch/, /appeared/],
];

const SERVER = 'criu-cuda run -- python3 server.py &';
const REQUEST = 'curl --silent --retry 50 --retry-connrefused --retry-delay 1 http://127.0.0.1:8000';

export class Reader {
  readonly #terminal: Terminal;
  /** The server, by the pid of its `criu-cuda run` or, once restored, its own; undefined when it has ended. */
  #pid: number | undefined;
  #imagesDir: string;
  #blocks = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#imagesDir = this.#nextDir();
  }

  #nextDir(): string {
    return `${this.#terminal.dir}/home/images-${++this.#blocks}`;
  }

  /** The next answer of the server. */
  answer(): Promise<string> {
    return this.#terminal.succeed(REQUEST);
  }

  /** The same from a second terminal, while a command keeps this one. */
  async answerMeanwhile(): Promise<string> {
    const words = ['--all', '--target', String(this.#terminal.init), 'sh', '-c', REQUEST];
    return (await execResult('nsenter', words)).stdout;
  }

  /** Starts a server of the reader's own. @returns the pid of `criu-cuda run` */
  async startServer(): Promise<number | undefined> {
    await this.type(SERVER);
    return this.#pid;
  }

  /** `4711` and `PID` are the server's pid, DIR and /mnt/img a directory; the path of a criu program is that of this machine. */
  async #fillIn(command: string): Promise<string> {
    if (/\b(?:4711|PID)\b/.test(command) && this.#pid === undefined) await this.startServer();
    return command
      .replace(/\b(?:4711|PID)\b/g, String(this.#pid))
      .replace(/(?<![\w/])DIR\b|\/mnt\/img\b/g, this.#imagesDir)
      .replaceAll('/opt/criu/sbin/criu', criuProgram());
  }

  /** Types a command and, if it keeps the terminal, leaves it running. @returns what it printed */
  async start(command: string): Promise<string> {
    const typed = await this.#fillIn(command);
    const stays = staying.find(([pattern]) => pattern.test(typed))?.[1];
    const { output, code } = await this.#terminal.type(typed, stays);
    expect(code ?? 0, this.#terminal.transcript).toBe(0);
    const restored = /restored (\d+) in/.exec(output)?.[1];
    if (restored !== undefined) this.#pid = Number(restored);
    if (command.startsWith('criu-cuda run')) {
      await this.answer();
      this.#pid = Number(/^\d+$/m.exec(await this.#terminal.succeed('echo $!'))?.[0]);
    }
    return output;
  }

  /** Types a command and, if it keeps the terminal, ends it once it is ready. @returns what it printed */
  async type(command: string): Promise<string> {
    const output = await this.start(command);
    if (!staying.some(([pattern]) => pattern.test(command))) return output;
    await this.#terminal.interrupt();
    if (command.includes('restore')) this.#pid = undefined; // Ctrl-C has ended it
    return output;
  }

  /** Types all commands of a block. @returns what they printed */
  async read(block: Block): Promise<string> {
    const outputs: string[] = [];
    for (const command of block.commands) outputs.push(await this.type(command));
    this.#imagesDir = this.#nextDir();
    return outputs.join('');
  }
}
