// SPDX-License-Identifier: MIT
/**
 * A workload that is the first process of a PID namespace, as in a container, but without a runtime: its root is a
 * directory with the workload, the software driver and a shell.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../lib/exec.ts';
import { builtProgram, softcudaLibrary } from '../../lib/paths.ts';
import { waitForExit } from '../../lib/process/index.ts';
import { askWorkload } from '../../lib/workload/index.ts';
import { makeBareRoot } from './bare-root.ts';
import type { CriuOptions, CriuRun, Machine } from './machine.ts';
import { waitUntil } from './wait.ts';

const TIMEOUT_MS = 20_000;
const ENTER = `
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
pivot_root . old
cd /
/bin/umount -l /old
shift
exec <out >out 2>out
exec "$@"`;

export class PidNamespace {
  readonly #machine: Machine;
  readonly #root: string;
  /** The pid of the first process, from outside. */
  pid = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#root = join(machine.dir, 'root');
  }

  /**
   * @param args options of workload-pattern
   * @param others flags of unshare for other namespaces
   */
  async start(args: readonly string[], others: readonly string[] = []): Promise<void> {
    mkdirSync(this.#root);
    makeBareRoot(this.#root);
    copyFileSync(builtProgram('workload-pattern'), join(this.#root, 'bin', 'workload-pattern'));
    copyFileSync(softcudaLibrary(), join(this.#root, 'libcuda.so.1'));
    writeFileSync(join(this.#root, 'out'), '');
    const words = ['--pid', '--mount', ...others, '--fork', 'setsid', 'sh', '-c', ENTER, 'sh', this.#root];
    const child = spawn(
      'unshare',
      [...words, '/bin/workload-pattern', '--socket', '/w.sock', ...args],
      // it inherits nothing else: CRIU must find every descriptor below the root
      { stdio: 'ignore', detached: true, env: { ...this.#env('/'), PATH: process.env.PATH ?? '' } },
    );
    await waitUntil(() => {
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
      this.pid = Number(children.trim());
      return existsSync(join(this.#root, 'w.sock'));
    });
    await this.ask('status');
  }

  ask(request: string): Promise<string> {
    return askWorkload(join(this.#root, 'w.sock'), request, TIMEOUT_MS);
  }

  /** `criu dump`, as {@link Machine.dump}. */
  async dump(options: CriuOptions = {}): Promise<CriuRun> {
    const args = ['--external', 'mnt[]', ...(options.args ?? [])];
    const env = { ...this.#env(this.#root), ...options.env };
    const run = await this.#machine.dumpPid(this.pid, { ...options, env, args });
    if (run.exitCode === 0) await waitForExit(this.pid);
    return run;
  }

  /** `criu restore`, as {@link Machine.restore}. */
  async restore(options: CriuOptions = {}): Promise<CriuRun> {
    const root = join(this.#machine.dir, 'mounted');
    mkdirSync(root, { recursive: true });
    await exec('mount', ['--bind', this.#root, root]);
    try {
      const pidfile = join(this.#machine.dir, `${readdirSync(this.#machine.dir).length}.pid`);
      const args = ['--external', 'mnt[]', '--root', root, '--pidfile', pidfile, ...(options.args ?? [])];
      const env = { ...this.#env(this.#root), ...options.env };
      const run = await this.#machine.restore({ ...options, env, args });
      if (run.exitCode === 0) this.pid = Number(readFileSync(pidfile, 'utf8'));
      return run;
    } finally {
      await exec('umount', [root]);
    }
  }

  #env(root: string): Record<string, string> {
    const driver = root === '/' ? '/libcuda.so.1' : softcudaLibrary();
    return { ...this.#machine.env, SOFTCUDA_DIR: join(root, 'devices'), CRIU_CUDA_DRIVER: driver };
  }
}
