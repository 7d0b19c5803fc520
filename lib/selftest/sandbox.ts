// SPDX-License-Identifier: MIT
/**
 * Where one check runs: its own images, run directory and programs, all removed when it is closed.
 * @module
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { checkpoint, type CheckpointOptions, type CheckpointResult } from '../checkpoint/index.ts';
import { interceptorLibrary } from '../paths.ts';
import { usesInterceptor, type PluginVariant } from '../variant.ts';
import { prefetchImages, startPool, readPoolStatus, stopPool, type PoolStatus } from '../pool/index.ts';
import { isAlive } from '../process/index.ts';
import { restore, type RestoredProcess, type RestoreOptions } from '../restore/index.ts';
import { Workload } from '../workload/index.ts';
import { ensure } from './ensure.ts';

export interface SandboxOptions {
  /** Made here, removed at the end. */
  dir: string;
  /** The criu program. */
  criu: string;
  /** The library to use as the driver. @default the first one found */
  driver?: string | undefined;
  /** Added to the environment of everything that is started. */
  env: Record<string, string>;
  /** Device memory of the pattern workload. Bytes. */
  bytes: number;
  signal?: AbortSignal | undefined;
}

/** A variant of the plugin, or CRIU's own in a directory. */
export type Plugin = PluginVariant | { upstream: string };

const ALLOCATIONS = 8;

const preload = (plugin: Plugin): Record<string, string> =>
  typeof plugin === 'string' && usesInterceptor(plugin) ? { LD_PRELOAD: interceptorLibrary() } : {};

/** One dump of a workload, and what must be the same after it. */
export interface Dumped {
  workload: Workload;
  /** Checksum of the device memory, and its addresses. */
  snapshot: string;
  result: CheckpointResult;
}

/** Verifies a workload's device memory. @returns its checksum and its addresses */
export async function snapshotOf(workload: Workload): Promise<string> {
  return `${await workload.verify()} at ${await workload.addresses()}`;
}

export class Sandbox {
  readonly imagesDir: string;
  readonly options: SandboxOptions;
  readonly #env: Record<string, string>;
  readonly #runDir: string;
  readonly #workloads: Workload[] = [];
  readonly #restored = new Set<RestoredProcess>();
  #hasPool = false;

  constructor(options: SandboxOptions) {
    this.options = options;
    this.imagesDir = join(options.dir, 'images');
    this.#runDir = join(options.dir, 'run');
    mkdirSync(this.imagesDir, { recursive: true });
    // settings of this machine must not influence the results
    const config = join(options.dir, 'cuda.conf');
    writeFileSync(config, '# the defaults\n');
    this.#env = { ...options.env, CRIU_CUDA_RUN_DIR: this.#runDir, CRIU_CUDA_CONFIG: config };
  }

  /** Starts the pattern workload, ready to be dumped by a plugin. */
  start(plugin: Plugin): Promise<Workload> {
    const each = Math.max(1, Math.floor(this.options.bytes / ALLOCATIONS / 2 ** 20));
    return this.startProgram(plugin, { args: ['--alloc', `${each}Mx${ALLOCATIONS}`] });
  }

  /** Starts a program with the protocol of the workload. */
  async startProgram(
    plugin: Plugin,
    options: { program?: readonly string[]; args: readonly string[]; env?: Record<string, string> },
  ): Promise<Workload> {
    const workload = await Workload.start({
      signal: this.options.signal,
      ...options,
      socketPath: join(this.options.dir, `${this.#workloads.length}.sock`),
      env: { ...this.#env, ...preload(plugin), ...options.env },
    });
    this.#workloads.push(workload);
    return workload;
  }

  #shared(plugin: Plugin, env: Record<string, string>): Omit<RestoreOptions & CheckpointOptions, 'pid'> {
    const { criu, signal } = this.options;
    const choice =
      typeof plugin === 'string'
        ? { variant: plugin, env: { ...this.#env, ...env } }
        : {
            libdir: resolve(plugin.upstream),
            env: { ...this.#env, ...this.#upstreamEnv(plugin.upstream), ...env },
          };
    return { imagesDir: this.imagesDir, criu, signal, ...choice };
  }

  /** CRIU's own plugin looks for `cuda-checkpoint` on PATH, and for a GPU unless its fault 138 is injected. */
  #upstreamEnv(dir: string): Record<string, string> {
    const PATH = `${resolve(dir)}${delimiter}${process.env.PATH ?? ''}`;
    return 'SOFTCUDA_DIR' in this.#env ? { PATH, CRIU_FAULT: '138' } : { PATH };
  }

  /** Dumps a workload and takes a snapshot of its memory. The workload ends, unless it is left running. */
  async dump(
    workload: Workload,
    plugin: Plugin,
    { env = {}, leaveRunning = false }: { env?: Record<string, string>; leaveRunning?: boolean } = {},
  ): Promise<Dumped> {
    const snapshot = await snapshotOf(workload);
    const result = await this.dumpProgram(workload, plugin, { env, leaveRunning });
    return { workload, snapshot, result };
  }

  /** The same for any program, without a snapshot. */
  async dumpProgram(
    workload: Workload,
    plugin: Plugin,
    { env = {}, leaveRunning = false }: { env?: Record<string, string>; leaveRunning?: boolean } = {},
  ): Promise<CheckpointResult> {
    const { pid } = workload;
    const result = await checkpoint({ ...this.#shared(plugin, env), pid, leaveRunning, force: true });
    ensure(result.tasks.length > 0 || typeof plugin !== 'string', 'the dump found no CUDA process');
    if (!leaveRunning) {
      await workload.ended();
      ensure(!isAlive(pid), `process ${pid} is still running after its dump`);
    }
    return result;
  }

  /** Restores what was dumped last. */
  async restore(
    plugin: Plugin,
    { env = {}, leaveStopped = false }: { env?: Record<string, string>; leaveStopped?: boolean } = {},
  ): Promise<RestoredProcess> {
    const restored = await restore({ ...this.#shared(plugin, env), leaveStopped });
    this.#restored.add(restored);
    return restored;
  }

  /** Ends a restored process, so that its pid is free for the next restore. */
  async end(restored: RestoredProcess): Promise<void> {
    this.#restored.delete(restored);
    await restored.kill(0);
  }

  /** The pool daemon of this sandbox. */
  async startPool(): Promise<PoolStatus> {
    const status = await startPool({
      runDir: this.#runDir,
      env: { ...process.env, ...this.#env },
      signal: this.options.signal,
    });
    this.#hasPool = true;
    return status;
  }

  poolStatus(): Promise<PoolStatus> {
    return readPoolStatus({ runDir: this.#runDir });
  }

  /** Loads what was dumped last into device memory. */
  prefetch(options: { golden?: boolean } = {}): Promise<number> {
    return prefetchImages(this.imagesDir, { runDir: this.#runDir, signal: this.options.signal, ...options });
  }

  /** Ends everything that was started here, and removes its files. */
  async close(): Promise<void> {
    for (const restored of this.#restored) await this.end(restored);
    for (const workload of this.#workloads) await workload.kill();
    if (this.#hasPool) await stopPool({ runDir: this.#runDir });
    rmSync(this.options.dir, { recursive: true, force: true });
  }
}
