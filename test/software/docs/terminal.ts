// SPDX-License-Identifier: MIT
/**
 * A terminal with a shell that a test types into, as a reader of the documentation does. It has software GPUs, and
 * processes, a network, /dev/shm, /usr/local, /etc and /var/lib of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { readChildren } from '../../../lib/process/index.ts';
import { projectRoot, softcudaLibrary } from '../../../lib/paths.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { criuProgram } from '../../helpers/criu.ts';

const TIMEOUT_MS = 500_000;
/** Printed by the shell before each prompt, with the exit code of the command. */
const PROMPT = /\x01(\d+)\x01/; // eslint-disable-line no-control-regex
const INTERRUPT = '\x03';

/** What a command printed. */
export interface Typed {
  output: string;
  /** `undefined` while the command has the terminal. */
  code: number | undefined;
}

/** What is written to the directory goes to the layers, and is lost with them. */
const overlayCommand = (dir: string, layers: string): string =>
  `mkdir -p "${layers}/upper${dir}" "${layers}/work${dir}" && mount -t overlay -o "lowerdir=${dir},upperdir=${layers}/upper${dir},workdir=${layers}/work${dir}" overlay ${dir}`;

/** As root of the new namespaces. Bash stays there and collects orphans, as an init does. */
const enter = `
ip link set lo up
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs "$1/layers"
${['/usr/local', '/etc', '/var/lib'].map((dir) => overlayCommand(dir, '$1/layers')).join('\n')}
mkdir -p /usr/local/bin
cp "$1/bin/criu-cuda" /usr/local/bin
script --quiet --flush --return --command 'bash --norc --noprofile --noediting -i' /dev/null
true`;

export class Terminal {
  /** Directory that the shell starts in; it has `server.py` of examples/. */
  readonly dir: string;
  readonly #shell: ChildProcess;
  #unread = '';
  #all = '';

  private constructor(dir: string) {
    this.dir = dir;
    const words = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
    this.#shell = spawn('unshare', [...words, 'bash', '-euc', enter, 'bash', dir], {
      cwd: join(dir, 'home'),
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        PATH: `/usr/local/bin:${process.env.PATH ?? ''}`,
        HOME: process.env.HOME,
        TERM: 'dumb',
        PS1: '',
        PS2: '',
        PROMPT_COMMAND: String.raw`printf '\001%d\001\n' $?`,
        // what CI's machine has instead of a GPU
        CRIU_CUDA_DRIVER: softcudaLibrary(),
        CRIU_CUDA_CRIU: criuProgram(),
        CRIU_CUDA_RUN_DIR: join(dir, 'run'),
        SOFTCUDA_DIR: join(dir, 'devices'),
        SOFTCUDA_MEMORY_MB: '256',
      },
    });
    for (const stream of [this.#shell.stdout, this.#shell.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#unread += text.replaceAll('\r', '');
        this.#all += text.replaceAll('\r', '');
      });
  }

  static async open(): Promise<Terminal> {
    const dir = mkdtempSync('/tmp/criu-cuda-docs-');
    for (const name of ['bin', 'home', 'layers']) mkdirSync(join(dir, name));
    writeLauncher(join(dir, 'bin'));
    cpSync(join(projectRoot, 'examples', 'server.py'), join(dir, 'home', 'server.py'));
    const terminal = new Terminal(dir);
    await terminal.#until(PROMPT);
    await terminal.type('PS1= PS2=; stty -echo');
    return terminal;
  }

  /** The first process of its namespaces. */
  get init(): number {
    return readChildren(this.#shell.pid ?? 0)[0] ?? 0;
  }

  /** All that was printed, without progress that was overwritten. */
  get transcript(): string {
    return this.#all.replace(/[^\n]*\x1b\[2K/g, ''); // eslint-disable-line no-control-regex
  }

  /** Makes changes in a directory its own, too. Programs in it cannot be dumped reliably afterwards. */
  async overlay(dir: string): Promise<void> {
    await this.succeed(overlayCommand(dir, `${this.dir}/layers`));
  }

  /** Waits until what was printed matches, and takes it up to there. */
  async #until(pattern: RegExp): Promise<string> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    for (;;) {
      const match = pattern.exec(this.#unread);
      if (match) {
        const end = match.index + match[0].length;
        const taken = this.#unread.slice(0, end);
        this.#unread = this.#unread.slice(end);
        return taken;
      }
      if (this.#shell.exitCode !== null) throw new Error(`the shell has ended:\n${this.transcript}`);
      await once(this.#shell.stdout ?? this.#shell, 'data', { signal: deadline }).catch(() => {
        throw new Error(`waited for ${String(pattern)}:\n${this.transcript}`);
      });
    }
  }

  /**
   * Types a command and waits for its end.
   * @param stays what a command prints that keeps the terminal; then it is left running
   */
  async type(command: string, stays?: RegExp): Promise<Typed> {
    this.#all += `$ ${command}\n`;
    this.#shell.stdin?.write(`${command}\n`);
    const ends = stays ? new RegExp(`${stays.source}|${PROMPT.source}`) : PROMPT;
    const output = await this.#until(ends);
    const code = PROMPT.exec(output)?.[1];
    return { output, code: code === undefined ? undefined : Number(code) };
  }

  /** Types a command that has to succeed. @returns what it printed */
  async succeed(command: string): Promise<string> {
    const { output, code } = await this.type(command);
    expect(code, `${command}\n${this.transcript}`).toBe(0);
    return output;
  }

  /** Ends the command that has the terminal, with Ctrl-C. */
  async interrupt(): Promise<Typed> {
    this.#shell.stdin?.write(INTERRUPT);
    const output = await this.#until(PROMPT);
    return { output, code: Number(PROMPT.exec(output)?.[1]) };
  }

  async close(): Promise<void> {
    if (this.#shell.exitCode === null && this.#shell.signalCode === null) {
      const ended = once(this.#shell, 'exit');
      this.#shell.kill('SIGKILL'); // the namespace ends with its first process
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}
