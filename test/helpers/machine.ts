// SPDX-License-Identifier: MIT
/**
 * A machine with software GPUs for one test: devices, run directory and images are private, so tests do not affect each
 * other. Close it in `afterEach`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  mkdirSync,
  existsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../lib/errno.ts';
import { execResult, type ExecResult } from '../../lib/exec.ts';
import { builtProgram, softcudaLibrary } from '../../lib/paths.ts';
import { variantDir } from '../../lib/variant.ts';
import {
  becomeSubreaper,
  killTree,
  killTreeNow,
  readProcessTree,
  waitForExit,
  watchProcess,
} from '../../lib/process/index.ts';
import { startPool, readPoolStatus, type PoolStatus } from '../../lib/pool/index.ts';
import { criuProgram } from './criu.ts';
import { Workload } from '../../lib/workload/index.ts';
import { waitFor, waitUntil } from './wait.ts';

export interface StartOptions {
  /** Another program with the same protocol, and its first arguments. @default workload-pattern */
  program?: readonly string[];
  /** Options of the program. @default of workload-pattern: three allocations of 8 MiB and one of 1 MiB, and host memory */
  args?: readonly string[];
  env?: Record<string, string>;
  /** Put in front of the program: words of a command that executes it. */
  under?: readonly string[] | undefined;
}

const DEFAULT_ARGS = ['--alloc', '8Mx3', '--alloc', '1M', '--host', '2M', '--pinned', '1M'];

export interface StatusEvent {
  event: string;
  criu?: number;
  pid?: number;
  step?: string;
  name?: string;
  result?: number;
  outcome?: string;
  reason?: string;
  prior?: string;
  hook_ms?: number;
  driver_ms?: number;
  /** Milliseconds: of the step, and of the monotonic clock when the line was written. */
  ms?: number;
  at?: number;
}

export interface CriuRun extends ExecResult {
  log: string;
  status: StatusEvent[];
}

export interface CriuOptions {
  env?: Record<string, string | undefined>;
  libdir?: string;
  args?: readonly string[];
  imagesDir?: string;
  /** Keeps the status file for later: more is written to it after criu has ended. */
  keepStatus?: boolean;
}

export class Machine {
  readonly dir: string;
  readonly imagesDir: string;
  readonly runDir: string;
  readonly env: Record<string, string>;
  readonly #workloads: Workload[] = [];
  #started = 0;
  #poolPid: number | undefined;

  /** @param parent where its directory is; a restore in a fresh mount namespace sees no /dev/shm */
  constructor(env: Record<string, string> = {}, parent = '/dev/shm') {
    becomeSubreaper();
    this.dir = mkdtempSync(join(parent, 'criu-cuda-test-'));
    this.imagesDir = join(this.dir, 'images');
    this.runDir = join(this.dir, 'run');
    mkdirSync(this.imagesDir);
    this.env = {
      CRIU_CUDA_DRIVER: softcudaLibrary(),
      CRIU_CUDA_RUN_DIR: this.runDir,
      CRIU_CUDA_CONFIG: join(this.dir, 'cuda.conf'),
      SOFTCUDA_DIR: join(this.dir, 'devices'),
      SOFTCUDA_MEMORY_MB: '256',
      ...env,
    };
    writeFileSync(join(this.dir, 'cuda.conf'), '# nothing is set\n');
  }

  async start(options: StartOptions = {}): Promise<Workload> {
    const { under = [], program } = options;
    const workload = await Workload.start({
      program: [...under, ...(program ?? [builtProgram('workload-pattern')])],
      socketPath: join(this.dir, `w${this.#started++}.sock`),
      args: options.args ?? (program ? [] : DEFAULT_ARGS),
      env: { ...this.env, ...options.env },
    });
    this.#workloads.push(workload);
    return workload;
  }

  /** Real `criu dump` of the tree with our plugin. */
  async dump(workload: Workload, options: CriuOptions = {}): Promise<CriuRun> {
    const children = readProcessTree(workload.pid).filter((stat) => stat.pid !== workload.pid);
    const run = await this.dumpPid(workload.pid, options);
    if (run.exitCode === 0 && !options.args?.some((arg) => arg.startsWith('--leave'))) {
      await workload.ended();
      // Orphans become our children; as zombies they would keep the pids that a restore needs.
      await Promise.all(children.map(({ pid }) => waitForExit(pid)));
    }
    return run;
  }

  dumpPid(pid: number, options: CriuOptions = {}): Promise<CriuRun> {
    return this.#criu('dump', ['--tree', String(pid)], options);
  }

  /** Real `criu restore`; the restored process becomes our child. */
  restore(options: CriuOptions = {}): Promise<CriuRun> {
    return this.#criu('restore', ['--restore-detached'], options);
  }

  /** `criu restore` that stays as the parent of the processes it restored. */
  restoreAndStay(libdir: string): { criu: ChildProcess; ended: Promise<unknown> } {
    const args = ['restore', '--images-dir', this.imagesDir, '--libdir', libdir];
    const criu = spawn(criuProgram(), args, { env: { ...process.env, ...this.env }, stdio: 'ignore' });
    return { criu, ended: once(criu, 'exit') };
  }

  async #criu(action: string, extra: string[], options: CriuOptions): Promise<CriuRun> {
    const imagesDir = options.imagesDir ?? this.imagesDir;
    const logFile = `${action}.log`;
    const result = await execResult(
      criuProgram(),
      [
        action,
        ...extra,
        ...['--images-dir', imagesDir, '--libdir', options.libdir ?? variantDir('stock')],
        ...['-v4', '--log-file', logFile],
        ...(options.args ?? []),
      ],
      { env: { ...this.env, ...options.env } },
    );
    const log = join(imagesDir, logFile);
    return {
      ...result,
      log: existsSync(log) ? readFileSync(log, 'utf8') : '',
      status: options.keepStatus ? [] : this.takeStatus(),
    };
  }

  /** A CRIU action script that does something at one stage. */
  actionScript(stage: string, command: string): string[] {
    const path = join(this.dir, 'action.sh');
    writeFileSync(path, `#!/bin/sh\n[ "$CRTOOLS_SCRIPT_ACTION" = ${stage} ] || exit 0\n${command}\n`, {
      mode: 0o755,
    });
    return ['--action-script', path];
  }

  #statusFiles(): string[] {
    if (!existsSync(this.runDir)) return [];
    const names = readdirSync(this.runDir).filter((name) => name.endsWith('.jsonl'));
    return names.map((name) => join(this.runDir, name));
  }

  /** Reads all status files, in no particular order of runs; a line that is still being written is left out. */
  readStatus(): StatusEvent[] {
    return this.#statusFiles().flatMap((path) => {
      const lines = readIfThere(path).split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line) as StatusEvent);
    });
  }

  /** The same, and removes the files. */
  takeStatus(): StatusEvent[] {
    const events = this.readStatus();
    for (const path of this.#statusFiles()) rmSync(path, { force: true });
    return events;
  }

  /** Starts the pool daemon of this machine; closing the machine ends it. */
  async startPool(env: Record<string, string> = {}): Promise<PoolStatus> {
    const status = await startPool({ runDir: this.runDir, env: { ...this.env, ...env } });
    this.#poolPid = status.pid;
    return status;
  }

  poolStatus(): Promise<PoolStatus> {
    return readPoolStatus({ runDir: this.runDir });
  }

  /** How the application got its memory: written after criu has ended. */
  async attachResult(): Promise<{ status: StatusEvent | undefined }> {
    let status: StatusEvent | undefined;
    await waitUntil(() => {
      status ??= this.takeStatus().find((e) => e.event === 'attach');
      return status !== undefined;
    });
    return { status };
  }

  /** The driver's state of a process, read from outside like an operator would. */
  async state(pid: number): Promise<string> {
    const result = await this.driver(['--get-state', '--pid', String(pid)]);
    return result.exitCode === 0 ? result.stdout.trim() : result.stderr.trim();
  }

  action(pid: number, action: string): Promise<ExecResult> {
    return this.driver(['--action', action, '--pid', String(pid)]);
  }

  driver(args: string[]): Promise<ExecResult> {
    return execResult(builtProgram('cuda-checkpoint'), args, { env: this.env });
  }

  /** Ends a restored process and collects it, so that its pid is free. */
  kill(pid: number): Promise<void> {
    return killTree(pid);
  }

  async close(): Promise<void> {
    for (const workload of this.#workloads) {
      const children = readProcessTree(workload.pid).filter((stat) => stat.pid !== workload.pid);
      await workload.kill();
      for (const { pid } of children) await killTree(pid);
    }
    if (this.#poolPid !== undefined) await killTree(this.#poolPid);
    // A background process of a criu that failed early may still be opening its device.
    await waitFor(() => {
      rmSync(this.dir, { recursive: true, force: true });
    });
  }
}

/** The text of a status file, which is empty once it is kept in the history. */
function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return '';
    throw error;
  }
}

/** Ends a tree, but leaves its root for others to collect. */
export async function killUncollected(pid: number): Promise<void> {
  const root = watchProcess(pid);
  killTreeNow(pid);
  await root?.ended();
  root?.close();
}

/** The smallest of many readings of a number that is briefly higher now and then. */
export async function leastOf(count: () => number, between: () => Promise<unknown>): Promise<number> {
  let least = count();
  for (let i = 0; i < 50; i++) {
    await between();
    least = Math.min(least, count());
  }
  return least;
}

/** A process without CUDA, in its own session, with no open files. */
export function startPlainProcess(): { pid: number; ended: Promise<unknown> } {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  if (child.pid === undefined) throw new Error('cannot start sleep');
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return { pid: child.pid, ended };
}
