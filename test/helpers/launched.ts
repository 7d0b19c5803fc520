// SPDX-License-Identifier: MIT
/** For tests of criu-cuda-start: what it has started before Node, seen while Node waits at a gate. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { execResult } from '../../lib/exec.ts';
import { builtProgram, programFile } from '../../lib/paths.ts';
import { readStat } from '../../lib/process/index.ts';
import type { Machine } from './machine.ts';

const processes = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

/** What is read of a process that may have just ended. */
function tryRead<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** The helpers of a machine, also those that nobody has taken over, and that have not ended. */
export const helpersOf = ({ runDir }: Machine): number[] =>
  processes().filter(
    (pid) =>
      tryRead(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').split('\0')[1] === '--early' &&
      tryRead(() => readFileSync(`/proc/${pid}/environ`, 'utf8'), '').includes(`RUN_DIR=${runDir}\0`),
  );

const linksOf = (pid: number): string[] =>
  tryRead(() => readdirSync(`/proc/${pid}/fd`), []).map((fd) =>
    tryRead(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ''),
  );

/** The processes that have a descriptor of the pipe that is the standard input of a process. */
export function holdersOfInput(pid: number): number[] {
  const pipe = readlinkSync(`/proc/${pid}/fd/0`);
  return processes().filter((one) => linksOf(one).includes(pipe));
}

/** A named pipe at which a program waits. */
export class Gate {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  static async create(path: string): Promise<Gate> {
    await execResult('mkfifo', [path]);
    return new Gate(path);
  }

  /** Opens it, as soon as the program is there. */
  async open(): Promise<void> {
    const file = await open(this.path, 'w');
    await file.write('\n');
    await file.close();
  }
}

/** A command that criu-cuda-start has begun. */
export interface Typed {
  command: ChildProcess;
  ended: Promise<{ exitCode: number | null; output: string }>;
}

/**
 * Types a command through criu-cuda-start.
 * @param node what it becomes. @default node
 */
export function type(
  machine: Machine,
  words: readonly string[],
  node: string = process.execPath,
  env: Record<string, string> = {},
): Typed {
  const command = spawn(builtProgram('criu-cuda-start'), [node, programFile, ...words], {
    // a shell in place of node would correct the last two
    env: { ...process.env, ...machine.env, ...env, PWD: machine.dir, _: undefined },
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: machine.dir,
  });
  let output = '';
  command.stdout.on('data', (text: Buffer) => (output += text.toString()));
  command.stderr.on('data', (text: Buffer) => (output += text.toString()));
  const ended = once(command, 'exit').then(([exitCode]) => ({ exitCode: exitCode as number | null, output }));
  return { command, ended };
}

/**
 * A node that waits first.
 * @param then variables for node
 */
export async function slowNode(machine: Machine, then = ''): Promise<{ node: string; gate: Gate }> {
  const gate = await Gate.create(join(machine.dir, 'node-gate'));
  const node = join(machine.dir, 'node');
  writeFileSync(node, `#!/bin/sh\nread -r _ <${gate.path}\nexec env ${then} ${process.execPath} "$@"\n`, {
    mode: 0o755,
  });
  return { node, gate };
}

/** Whether there is no such process any more, not even a zombie. */
export const isGone = (pid: number): boolean => readStat(pid) === undefined;
