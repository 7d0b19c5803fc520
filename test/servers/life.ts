// SPDX-License-Identifier: MIT
/**
 * The life of a real server, all of it typed without a flag: started, dumped while clients ask it, and restored on a machine
 * that has just booted, which is a mount namespace with an empty /tmp, /dev/shm and /run.
 */
import { spawn } from 'node:child_process';
import { chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { execResult } from '../../lib/exec.ts';
import { capabilityBits } from '../../lib/machine/index.ts';
import { projectRoot } from '../../lib/paths.ts';
import { waitForExit, waitUntilCollected, readProcessTree } from '../../lib/process/index.ts';
import { criuProgram } from '../helpers/criu.ts';
import type { Machine } from '../helpers/machine.ts';
import { waitFor, waitUntil } from '../helpers/wait.ts';
import type { Connect } from './clients.ts';

/** Where the output of a server goes: to the file of `--log`, or through a pipe to another process. */
export type Output = 'file' | 'pipe';

export interface Place {
  /** In /tmp: gone after a reboot. */
  dir: string;
  /** On a disk: there after a reboot. */
  disk: string;
  port: number;
}

export interface LifeOptions {
  command: (place: Place) => readonly string[];
  connect: Connect;
  /** Variables of the server. */
  env?: (place: Place) => Readonly<Record<string, string>>;
  output: Output;
  /**
   * Who starts and dumps it; root restores it. A user other than root dumps with the capabilities of this process, as a systemd
   * service may have. That works where root lacks CAP_SYS_RESOURCE, which criu needs for processes of others. @default root
   */
  uid?: number | undefined;
}

const cliPath = join(projectRoot, 'dist', 'cli.js');

/**
 * Mounts an empty /tmp, /dev/shm and /run, and runs a command. The project and the images stay, even if they are below one of
 * these directories.
 */
const booted = [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-euc'],
  `exec 3<"$1" 4<"$2"
   for dir in /tmp /dev/shm /run; do mount -t tmpfs -o mode=1777 tmpfs "$dir"; done
   for kept in "3 $1" "4 $2"; do
     if [ ! -e "\${kept#* }" ]; then
       mkdir -p "\${kept#* }"
       mount --no-canonicalize --bind "/proc/self/fd/\${kept%% *}" "\${kept#* }"
     fi
   done
   shift 2
   exec 3<&- 4<&-
   exec "$@"`,
  'sh',
  projectRoot,
];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** A restored server that is reached only from inside. */
export interface IsolatedCopy {
  initPid: number;
  /** Asks over HTTP. */
  ask: (path: string) => Promise<string>;
}

export class Life {
  readonly pid: number;
  readonly place: Place;
  readonly #machine: Machine;
  readonly #options: LifeOptions;
  readonly #log: string;

  private constructor(machine: Machine, options: LifeOptions, place: Place, log: string, pid: number) {
    this.#machine = machine;
    this.#options = options;
    this.place = place;
    this.#log = log;
    this.pid = pid;
  }

  static async start(machine: Machine, options: LifeOptions): Promise<Life> {
    const { command, env, output, uid = 0, connect } = options;
    const place = { dir: mkdtempSync(join(tmpdir(), 'server-')), disk: machine.dir, port: await freePort() };
    const log = join(output === 'file' ? place.dir : machine.dir, 'server.log');
    for (const dir of [machine.dir, machine.imagesDir, place.dir]) chownSync(dir, uid, uid);
    const words = [...asUser(uid, READ_ALL), process.execPath, cliPath, 'run'];
    // `run` asks for rights without capabilities
    const indirect = uid === 0 ? [] : ['sh', '-c', 'exec "$0" "$@"'];
    const program = ['--', ...indirect, ...command(place)];
    if (uid !== 0) copyFileSync(criuProgram(), join(machine.dir, 'criu'));
    const variables = { ...env?.(place), ...variablesOf(machine) };
    let pid: number;
    if (output === 'file') {
      const [file = '', ...rest] = [...words, '--quiet', '--detach', '--log', log, ...program];
      const { stdout, stderr, exitCode } = await execResult(file, rest, { env: variables });
      expect(exitCode, stderr).toBe(0);
      pid = Number(stdout);
    } else {
      await runPiped(['setsid', ...words, ...program], log, variables);
      pid = await waitUntil(() => Number(/process to checkpoint is (\d+)/.exec(read(log))?.[1] ?? 0));
    }
    const life = new Life(machine, options, place, log, pid);
    await waitFor(async () => {
      (await connect(place.port)).close();
    }).catch((error: unknown) => {
      throw new Error(`the server does not listen: ${life.log()}`, { cause: error });
    });
    return life;
  }

  /** What the server has printed, where it sees its log itself. */
  log(): string {
    return read(this.#options.output === 'file' ? `/proc/${this.pid}/root${this.#log}` : this.#log);
  }

  /** Asks once, on a connection of its own. */
  async ask(question: string): Promise<string> {
    const connection = await this.#options.connect(this.place.port);
    try {
      return await connection.ask(question);
    } finally {
      connection.close();
    }
  }

  async dump(): Promise<void> {
    const others = readProcessTree(this.pid).filter(({ pid }) => pid !== this.pid);
    const words = ['checkpoint', String(this.pid), this.#machine.imagesDir];
    const [file = '', ...rest] = [
      ...asUser(this.#options.uid, capabilities()),
      process.execPath,
      cliPath,
      ...words,
    ];
    const { exitCode, stdout, stderr } = await execResult(file, rest, { env: this.#variables() });
    expect(exitCode, stdout + stderr).toBe(0);
    // orphans are ours to collect
    for (const pid of [this.pid, ...others.map((one) => one.pid)]) await waitForExit(pid);
  }

  /** As after a reboot. The log is empty there, or another one. */
  async restore(): Promise<void> {
    const { imagesDir, dir } = this.#machine;
    const words = [...booted, dir, process.execPath, cliPath, 'restore', '--detach', imagesDir];
    const env = variablesOf(this.#machine);
    if (this.#options.output === 'pipe') return runPiped(words, this.#log, env);
    const [file = '', ...rest] = words;
    const { exitCode, stdout, stderr } = await execResult(file, rest, { env });
    expect(exitCode, stdout + stderr).toBe(0);
  }

  /** A copy in namespaces of its own, a network namespace too. */
  async restoreIsolated(): Promise<IsolatedCopy> {
    const words = [cliPath, '--json', 'restore', '--detach', '--isolated-network', this.#machine.imagesDir];
    const { exitCode, stdout, stderr } = await execResult(process.execPath, words, {
      env: variablesOf(this.#machine),
    });
    expect(exitCode, stdout + stderr).toBe(0);
    const { pid, isolated } = JSON.parse(stdout) as { pid: number; isolated: { initPid: number } };
    return {
      initPid: isolated.initPid,
      ask: async (path) => {
        const script = `fetch('http://127.0.0.1:${this.place.port}${path}').then((got) => got.text()).then(console.log)`;
        const inside = ['--target', String(pid), '--net', process.execPath, '--eval', script];
        const answer = await execResult('nsenter', inside);
        expect(answer.exitCode, answer.stderr).toBe(0);
        return answer.stdout;
      },
    };
  }

  /** Those of the dump: a user other than root has directories of its own. */
  #variables(): Record<string, string> {
    const variables = variablesOf(this.#machine);
    const { dir } = this.#machine;
    if ((this.#options.uid ?? 0) === 0) return variables;
    const own = { HOME: dir, CRIU_CUDA_CRIU: join(dir, 'criu'), CRIU_CUDA_RUN_DIR: join(dir, 'run-of-user') };
    return { ...variables, ...own };
  }

  async kill(): Promise<void> {
    await this.#machine.kill(this.pid);
    await waitUntilCollected(this.pid, 5000);
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.place.dir, { recursive: true, force: true });
  }
}

/** Where servers must not write among others' files; the commands get no other variable. */
function variablesOf(machine: Machine): Record<string, string> {
  const names = ['CRIU_CUDA_RUN_DIR', 'SOFTCUDA_DIR', 'SOFTCUDA_MEMORY_MB'];
  return Object.fromEntries(names.map((name) => [name, machine.env[name] ?? '']));
}

const LAST_CAPABILITY = 40;
/** CAP_DAC_READ_SEARCH: programs of the tests may be below root's home. */
const READ_ALL = '+cap_2';

/** Those of this process, for setpriv. */
function capabilities(): string {
  const bits = capabilityBits(read('/proc/self/status'));
  const numbers = Array.from({ length: LAST_CAPABILITY + 1 }, (_, number) => number);
  return numbers.flatMap((number) => ((bits >> BigInt(number)) & 1n ? [`+cap_${number}`] : [])).join();
}

/** Words that run a command as a user. @param kept capabilities that it has then */
function asUser(uid = 0, kept = ''): string[] {
  if (uid === 0) return [];
  const user = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  return kept === '' ? user : [...user, `--inh-caps=${kept}`, `--ambient-caps=${kept}`];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Runs a command whose output goes through a pipe to `cat`, and does not wait for what it leaves running. */
async function runPiped(words: readonly string[], log: string, env: Record<string, string>): Promise<void> {
  const before = read(log).length;
  const script = '{ "$@" 2>&1 && echo "ended with 0" || echo "ended with $?"; } </dev/null | cat >>"$log"';
  const child = spawn('sh', ['-c', script, 'sh', ...words], {
    stdio: 'ignore',
    env: { ...process.env, ...env, log },
  });
  child.unref();
  if (words[0] === 'setsid') return;
  await waitUntil(() => read(log).slice(before).includes('ended with'));
  expect(read(log).slice(before)).toContain('ended with 0');
}
