// SPDX-License-Identifier: MIT
/**
 * The criu below podman. podman hands PATH to the runtime and, on a checkpoint,
 * nothing else of the environment; so a small script called criu comes first
 * on PATH, which sets what criu and the plugin need and becomes the real one.
 * @module
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import {
  collectStatus,
  findPluginDir,
  resolveOperation,
  type OpStatus,
  type PluginChoice,
} from '../criu/index.ts';
import { UsageError } from '../errors.ts';
import { settingVariables, softcudaVariables } from './edits.ts';

/** runc and crun tell criu to read this file, and what it says wins over everything else. */
export const runtimeConfig = '/etc/criu/runc.conf';

export interface RuntimeOptions extends PluginChoice {
  /** The program criu. @default the one that set-up finds */
  criu?: string | undefined;
  /** What the container was made with. @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** Stops podman; the container stays in the state it was in. */
  signal?: AbortSignal | undefined;
}

/** `libdir` in criu's own file for runtimes. */
export function configuredLibdir(path = runtimeConfig): string | undefined {
  if (!existsSync(path)) return undefined;
  return /^\s*libdir\s+(\S+)\s*$/m.exec(readFileSync(path, 'utf8'))?.[1];
}

/** The plugin's directory, and an error where criu would take another one. */
export function containerPluginDir(choice: PluginChoice, configured = configuredLibdir()): string {
  const isAsked = choice.variant !== undefined || choice.libdir !== undefined;
  const dir = findPluginDir(isAsked || configured === undefined ? choice : { libdir: configured });
  if (configured === undefined || configured === dir) return dir;
  throw new UsageError(
    `${runtimeConfig} says libdir ${configured}, which criu prefers to ${dir}`,
    `remove the line, or use the plugin it names`,
  );
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** A criu for one operation of podman. */
export class ContainerRuntime {
  /** For podman. */
  readonly path: string;
  readonly runDir: string;
  readonly #dir: string;

  private constructor(dir: string, runDir: string) {
    this.#dir = dir;
    this.runDir = runDir;
    this.path = `${dir}${delimiter}${process.env.PATH ?? ''}`;
  }

  static async create(options: RuntimeOptions): Promise<ContainerRuntime> {
    const libdir = containerPluginDir(options);
    const operation = await resolveOperation({ ...options, libdir, imagesDir: '/' });
    const runDir = options.runDir ?? operation.runDir;
    const dir = mkdtempSync(join(tmpdir(), 'criu-cuda-runtime-'));
    const variables = {
      ...settingVariables(),
      ...softcudaVariables(),
      CRIU_CUDA_CONFIG: process.env.CRIU_CUDA_CONFIG ?? '',
      CRIU_CUDA_RUN_DIR: runDir,
      CRIU_LIBS_DIR: libdir,
    };
    const lines = [
      '#!/bin/sh',
      `echo $$ >> ${quote(join(dir, 'pids'))}`,
      // CRIU's own plugin starts cuda-checkpoint, which may lie beside it
      `export PATH=${quote(libdir)}:"$PATH"`,
      ...Object.entries(variables).map(([key, value]) => `export ${key}=${quote(value)}`),
      `exec ${quote(operation.criu)} "$@"`,
    ];
    writeFileSync(join(dir, 'criu'), `${lines.join('\n')}\n`, { mode: 0o700 });
    return new ContainerRuntime(dir, runDir);
  }

  /**
   * What the plugin said, once everything is done: device memory saved, or back
   * in the restored processes. The runtime asks criu for its version first;
   * those runs leave nothing.
   */
  async status(): Promise<OpStatus | undefined> {
    const file = join(this.#dir, 'pids');
    const pids = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : [];
    let last: OpStatus | undefined;
    for (const pid of pids) last = (await collectStatus(this.runDir, pid)) ?? last;
    return last;
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
