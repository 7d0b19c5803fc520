// SPDX-License-Identifier: MIT
/** Containers of plain runc with workload-pattern, as an engine that knows nothing of this project starts them. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { exec, execResult, type ExecResult } from '../../lib/exec.ts';
import { builtProgram, interceptorLibrary, softcudaLibrary } from '../../lib/paths.ts';
import { findOnPath } from '../../lib/machine/index.ts';
import { variantDir } from '../../lib/variant.ts';
import { askWorkload } from '../../lib/workload/index.ts';
import { criuProgram } from './criu.ts';
import type { Machine } from './machine.ts';
import { waitUntil } from './wait.ts';

const TIMEOUT_MS = 20_000;

/** Where runc is; `undefined`: not installed. */
export const runcProgram = (): string | undefined =>
  findOnPath('runc', `${process.env.PATH ?? ''}:/usr/sbin:/sbin`);

/** What a container has besides its program. */
export interface BundleOptions {
  /** Set LD_PRELOAD. @default true */
  preload?: boolean;
  /** Mount the directory of the interceptor. @default true */
  mountInterceptor?: boolean;
}

interface Spec {
  process: { args: string[]; env: string[]; terminal: boolean; noNewPrivileges: boolean; rlimits?: unknown };
  root: { path: string; readonly: boolean };
  mounts: { destination: string; type: string; source: string; options: string[] }[];
  linux: { namespaces: { type: string }[]; seccomp?: unknown };
}

async function copyLibraries(rootfs: string): Promise<void> {
  for (const user of [builtProgram('workload-pattern'), softcudaLibrary(), interceptorLibrary()]) {
    const { stdout } = await exec('ldd', [user]);
    for (const [, library = ''] of stdout.matchAll(/(\/\S+) \(0x/g)) {
      mkdirSync(join(rootfs, dirname(library)), { recursive: true });
      cpSync(realpathSync(library), join(rootfs, library));
    }
  }
}

/** One container of runc; close it when done. */
export class RuncContainer {
  readonly id: string;
  readonly #machine: Machine;
  readonly #bundle: string;
  readonly #socketDir: string;

  private constructor(machine: Machine, id: string) {
    this.#machine = machine;
    this.id = id;
    this.#bundle = join(machine.dir, id);
    this.#socketDir = join(machine.dir, `${id}-socket`);
  }

  get #socket(): string {
    return join(this.#socketDir, 'w.sock');
  }

  static async create(machine: Machine, name: string, options: BundleOptions = {}): Promise<RuncContainer> {
    const container = new RuncContainer(machine, `${name}-${process.pid}`);
    await container.#makeBundle(options);
    return container;
  }

  async #makeBundle({ preload = true, mountInterceptor = true }: BundleOptions): Promise<void> {
    const rootfs = join(this.#bundle, 'rootfs');
    mkdirSync(join(rootfs, 'bin'), { recursive: true });
    mkdirSync(this.#socketDir);
    await copyLibraries(rootfs);
    cpSync(builtProgram('workload-pattern'), join(rootfs, 'bin', 'workload-pattern'));
    await exec(runcProgram() ?? 'runc', ['spec', '--bundle', this.#bundle]);
    const path = join(this.#bundle, 'config.json');
    const spec = JSON.parse(readFileSync(path, 'utf8')) as Spec;
    const { SOFTCUDA_DIR = '', CRIU_CUDA_DRIVER = '' } = this.#machine.env;
    const bind = (dir: string, how: string): Spec['mounts'][number] => ({
      ...{ destination: dir, source: dir, type: 'bind', options: ['rbind', how] },
    });
    mkdirSync(SOFTCUDA_DIR, { recursive: true });
    const { rlimits: _, ...process } = spec.process;
    const changed: Spec = {
      ...spec,
      process: {
        ...process,
        terminal: false,
        args: [
          '/bin/workload-pattern',
          '--alloc',
          '8Mx3',
          '--alloc',
          '1M',
          '--socket',
          join(this.#socketDir, 'w.sock'),
        ],
        env: [
          `SOFTCUDA_DIR=${SOFTCUDA_DIR}`,
          `CRIU_CUDA_DRIVER=${CRIU_CUDA_DRIVER}`,
          `SOFTCUDA_MEMORY_MB=${this.#machine.env.SOFTCUDA_MEMORY_MB ?? ''}`,
          ...(preload ? [`LD_PRELOAD=${interceptorLibrary()}`] : []),
        ],
      },
      root: { path: 'rootfs', readonly: false },
      mounts: [
        ...spec.mounts,
        ...(mountInterceptor ? [bind(dirname(interceptorLibrary()), 'ro')] : []),
        ...[bind(dirname(softcudaLibrary()), 'ro'), bind(SOFTCUDA_DIR, 'rw'), bind(this.#socketDir, 'rw')],
      ],
    };
    writeFileSync(path, JSON.stringify(changed));
  }

  /** runc finds criu by name. */
  #runc(
    args: string[],
    env: Record<string, string> = {},
    command = [runcProgram() ?? 'runc'],
  ): Promise<ExecResult> {
    const programs = join(this.#machine.dir, 'programs');
    mkdirSync(programs, { recursive: true });
    rmSync(join(programs, 'criu'), { force: true });
    symlinkSync(criuProgram(), join(programs, 'criu'));
    return execResult(command[0] ?? '', [...command.slice(1), ...args], {
      env: {
        ...this.#machine.env,
        PATH: `${programs}:${process.env.PATH ?? ''}`,
        CRIU_LIBS_DIR: variantDir('full'),
        ...env,
      },
      timeoutMs: 120_000,
    });
  }

  /** runc's own standard files become those of the container. */
  async #detached(args: string[], env: Record<string, string> = {}): Promise<ExecResult> {
    const log = join(this.#machine.dir, `${this.id}.log`);
    const quiet = ['sh', '-c', 'exec "$@" </dev/null >/dev/null 2>&1', 'sh', runcProgram() ?? 'runc'];
    const result = await this.#runc(['--log', log, ...args], env, quiet);
    return { ...result, stderr: result.exitCode === 0 ? '' : readFileSync(log, 'utf8') };
  }

  /** Returns when the program answers, or cannot be started. */
  async run(): Promise<ExecResult> {
    const result = await this.#detached(['run', '--detach', '--bundle', this.#bundle, this.id]);
    if (result.exitCode === 0) await waitUntil(() => existsSync(this.#socket));
    return result;
  }

  checkpoint(imagesDir: string, args: string[] = []): Promise<ExecResult> {
    return this.#runc(['checkpoint', '--image-path', imagesDir, '--work-path', imagesDir, ...args, this.id]);
  }

  restore(imagesDir: string, env: Record<string, string> = {}): Promise<ExecResult> {
    const paths = ['--image-path', imagesDir, '--work-path', imagesDir, '--bundle', this.#bundle];
    return this.#detached(['restore', '--detach', ...paths, this.id], env);
  }

  /** `running`, `stopped`, or `undefined` when runc does not know it. */
  async state(): Promise<{ status: string; pid: number } | undefined> {
    const { exitCode, stdout } = await this.#runc(['state', this.id]);
    return exitCode === 0 ? (JSON.parse(stdout) as { status: string; pid: number }) : undefined;
  }

  ask(request: string): Promise<string> {
    return askWorkload(this.#socket, request, TIMEOUT_MS);
  }

  async remove(): Promise<void> {
    await this.#runc(['delete', '--force', this.id]);
  }
}
