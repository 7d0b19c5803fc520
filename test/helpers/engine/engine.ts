// SPDX-License-Identifier: MIT
/**
 * A container engine for tests: a machine with software GPUs, a directory with the programs that a reader of
 * docs/containers.md types, and the lines printed there. Daemons run in a directory of their own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execResult, type ExecResult } from '../../../lib/exec.ts';
import { findOnPath } from '../../../lib/machine/index.ts';
import { writeLauncher } from '../../../lib/setup/index.ts';
import { variantDir } from '../../../lib/variant.ts';
import { askWorkload } from '../../../lib/workload/index.ts';
import { criuProgram } from '../criu.ts';
import { Machine } from '../machine.ts';
import { shellBlocks } from '../shell-blocks.ts';
import { waitFor } from '../wait.ts';

const searchPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;

/** Where a program of an engine is, or why its tests cannot run. */
export function enginePrograms(...names: string[]): { reason?: string } {
  const missing = names.find((name) => findOnPath(name, searchPath) === undefined);
  return missing === undefined ? {} : { reason: `${missing} is not installed: sh scripts/ci-packages.sh` };
}

/** The documented commands under a heading of docs/containers.md, without comments. */
export function documented(heading: string): string[] {
  return shellBlocks('docs/containers.md')
    .filter((block) => block.mark === 'engine' && block.heading === heading)
    .flatMap(({ commands }) => commands.map((command) => command.replace(/\s+#.*$/, '')));
}

/** A stripe of a GPU image. */
export const stripeName = /^cuda-\d+-\d+\.img$/;

/** In the middle of its first chunk. */
export const MIDDLE = 2 << 20;

export function changeByte(path: string, offset: number): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  writeSync(file, Buffer.from([byte.readUInt8() ^ 1]), 0, 1, offset);
  closeSync(file);
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** What a test does with a container, whichever engine runs it. */
export abstract class Engine {
  /** Heading in docs/containers.md. */
  abstract readonly title: string;
  /** The user that root of a container of another user is outside: not 0 where it gets a user namespace. */
  readonly hostRoot: number = 0;
  readonly machine: Machine;
  /** Everything of the engine; the bundle, images and tar files too. */
  readonly dir: string;
  readonly bin: string;
  /** Name of the container that the documentation calls `web`. */
  readonly container = `criu-cuda-${process.pid}`;
  readonly socketPath: string;
  readonly #daemons: ChildProcess[] = [];
  readonly #used = new Set<string>();

  constructor() {
    this.machine = new Machine();
    chmodSync(this.machine.dir, 0o1777);
    this.dir = mkdtempSync(join(tmpdir(), 'criu-cuda-engine-'));
    this.bin = join(this.dir, 'bin');
    mkdirSync(this.bin);
    mkdirSync(this.machine.env.SOFTCUDA_DIR ?? '');
    // programs of other users work in them
    chmodSync(this.machine.env.SOFTCUDA_DIR ?? '', 0o1777);
    chmodSync(this.dir, 0o755);
    this.socketPath = join(this.machine.env.SOFTCUDA_DIR ?? '', 'w.sock');
    writeLauncher(this.bin);
    const variables = { ...this.machine.env, CRIU_LIBS_DIR: variantDir('full') };
    const lines = Object.entries(variables).map(([key, value]) => `export ${key}=${quote(value)}`);
    // what /etc/criu/runc.conf and /etc/criu/cuda.conf say on a machine that was set up
    this.program('criu', ...lines, `exec ${quote(criuProgram())} "$@"`);
  }

  /** The other container. */
  get other(): string {
    return `${this.container}-2`;
  }

  /** Puts a shell script on PATH. */
  program(name: string, ...lines: string[]): void {
    writeFileSync(join(this.bin, name), `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 });
  }

  /** A program of this machine, with arguments that the reader does not need. */
  programWith(name: string, ...words: string[]): void {
    const path = findOnPath(name, `/usr/bin:/usr/sbin:${searchPath}`) ?? name;
    this.program(name, `exec ${[path, ...words].map(quote).join(' ')} "$@"`);
  }

  #env(): Record<string, string> {
    return { ...this.machine.env, PATH: `${this.bin}:${searchPath}` };
  }

  /** Starts a daemon and waits until a command succeeds. @throws with the end of its log */
  async daemon(name: string, words: readonly string[], ready: string): Promise<void> {
    const log = join(this.dir, `${name}.log`);
    const file = openSync(log, 'a');
    // only what a daemon of systemd has
    const env = { PATH: `${this.bin}:/usr/sbin:/usr/bin:/sbin:/bin`, TMPDIR: this.dir };
    const child = spawn(name, words, { env, stdio: ['ignore', file, file], detached: true });
    closeSync(file);
    this.#daemons.push(child);
    await waitFor(
      async () => {
        if (child.exitCode !== null) throw new Error(`${name} has ended`);
        await this.sh(ready);
      },
      { interval: 100 },
    ).catch((cause: unknown) => {
      throw new Error(`${name} does not start:\n${readFileSync(log, 'utf8').slice(-2000)}`, { cause });
    });
  }

  /** Runs a line of a shell with the programs of this engine. @throws with its output if it fails */
  sh(line: string): Promise<ExecResult> {
    return exec('sh', ['-ec', line], { env: this.#env(), cwd: this.dir });
  }

  /** The same; a failure is a result. */
  trySh(line: string): Promise<ExecResult> {
    return execResult('sh', ['-ec', line], { env: this.#env(), cwd: this.dir });
  }

  /** The only documented line that fits, with the names and directories of this test. */
  line(pattern: RegExp, changes: (command: string) => string = (command) => command): string {
    const found = documented(this.title).filter((command) => pattern.test(command));
    if (found.length !== 1)
      throw new Error(`${found.length} lines of ${this.title} in docs/containers.md fit ${String(pattern)}`);
    const [command = ''] = found;
    this.#used.add(command);
    return this.fillIn(changes(command));
  }

  /** Documented lines that no test has used. */
  unusedLines(): string[] {
    return documented(this.title).filter((command) => !this.#used.has(command));
  }

  fillIn(command: string): string {
    return command
      .replaceAll(/\bweb2\b/g, this.other)
      .replaceAll(/(?<!\/)\bweb\b(?![:.])/g, this.container)
      .replaceAll(/\bDIR\b/g, join(this.dir, 'bundle'));
  }

  /** Words of the program in the container. */
  words(more: readonly string[] = []): string[] {
    return [
      '/bin/workload-pattern',
      '--alloc',
      '8Mx3',
      '--alloc',
      '64K',
      ...more,
      '--socket',
      this.socketPath,
    ];
  }

  async ask(request: string): Promise<string> {
    return waitFor(() => askWorkload(this.socketPath, request, 10_000), { interval: 20 });
  }

  /** Reads all device memory through the program. */
  async checksum(): Promise<string> {
    return /checksum=(\w+)/.exec(await this.ask('verify'))?.[1] ?? 'none';
  }

  /** Prepares what has to be there before a container can start. */
  abstract open(): Promise<void>;
  /** Starts the program; `flags` come before the image, and `withFlags` false leaves out what the documentation adds. */
  abstract start(options?: StartOptions): Promise<void>;
  abstract checkpoint(): Promise<void>;
  abstract checkpointRunning(): Promise<void>;
  /** Directory with the images of the last checkpoint, or with a copy of them where the engine packs them. */
  abstract imagesDir(): Promise<string>;
  /** The shell line that restores in place what {@link checkpoint} has written. */
  abstract restoreLine(): string;
  /** Removes the container that was restored, or ends it, and restores it as another one. */
  abstract restoreOther(): Promise<void>;
  /** The pid of a container's program, or `undefined` when it does not run. */
  abstract pid(name?: string): Promise<number | undefined>;
  /** Removes both containers and their checkpoints. */
  abstract remove(): Promise<void>;

  /** Removes the software GPUs and the program's socket: another user can use those of root as little as root's files. */
  removeDevices(): void {
    const dir = this.machine.env.SOFTCUDA_DIR ?? '';
    for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true });
  }

  async restore(): Promise<void> {
    await this.sh(this.restoreLine());
  }

  /** Changes one byte of the device memory in the last checkpoint. */
  async damage(): Promise<void> {
    const dir = await this.imagesDir();
    const [stripe = ''] = readdirSync(dir).filter((name) => stripeName.test(name));
    changeByte(join(dir, stripe), MIDDLE);
  }

  async close(): Promise<void> {
    for (const child of this.#daemons.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    await this.machine.close();
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((path) => path.startsWith(`${this.dir}/`));
    for (const path of mounts.reverse()) await execResult('umount', ['--lazy', path]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export interface StartOptions {
  /** More words of the program. */
  words?: readonly string[];
  /** Flags of the engine, or what runc's config.json gets. */
  user?: string;
  /** Whether the container gets the interceptor. @default true */
  intercept?: boolean;
}
