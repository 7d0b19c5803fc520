// SPDX-License-Identifier: MIT
/**
 * The criu that podman runs. On a checkpoint, podman passes only PATH of the environment to the runtime. So a small
 * script called criu comes first on PATH: it sets what criu and the plugin need, and executes the real one.
 * @module
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../directory.ts';
import {
  choosePlugin,
  collectStatus,
  resolveOperation,
  type ChosenPlugin,
  type ImageNeeds,
  type OpStatus,
  type PluginChoice,
  type PreferredDirectory,
} from '../criu/index.ts';
import { UsageError } from '../errors.ts';
import { readStat, sendSignal } from '../process/index.ts';
import { settingVariables, softcudaVariables } from './edits.ts';

/** runc and crun make criu read this file, which overrides everything else. */
export const runtimeConfig = '/etc/criu/runc.conf';

export interface RuntimeOptions extends PluginChoice {
  /** Path of the criu program. @default the one that setup finds */
  criu?: string | undefined;
  /** The run directory that the container was created with. @default CRIU_CUDA_RUN_DIR */
  runDir?: string | undefined;
  /** Lines for criu's configuration. @default none */
  criuOptions?: readonly string[] | undefined;
  /** Stops podman; the container stays in the state it was in. */
  signal?: AbortSignal | undefined;
}

/** The `libdir` in criu's configuration file for runtimes. */
export function configuredLibdir(path = runtimeConfig): string | undefined {
  if (!existsSync(path)) return undefined;
  return /^\s*libdir\s+(\S+)\s*$/m.exec(readFileSync(path, 'utf8'))?.[1];
}

/** What an operation on a container needs of the plugin. */
export interface RuntimeUse {
  /** What the images need, for a restore. */
  needs?: ImageNeeds | undefined;
  /** The directory that the container was created for. */
  madeFor?: string | undefined;
}

/**
 * Chooses the plugin for a container by the rule for all operations. The configuration file comes first, because criu
 * would use its directory in any case.
 * @throws {@link UsageError} if criu would use another one than what was typed, or than what can restore the images
 */
export function containerPlugin(
  choice: PluginChoice,
  { needs, madeFor }: RuntimeUse = {},
  configured = configuredLibdir(),
): ChosenPlugin {
  const preferred: PreferredDirectory[] = [
    ...(configured === undefined ? [] : [{ dir: configured, from: runtimeConfig }]),
    ...(madeFor === undefined ? [] : [{ dir: madeFor, from: 'for which the container was created' }]),
  ];
  const chosen = choosePlugin(choice, { needs, preferred });
  if (configured === undefined || configured === chosen.dir) return chosen;
  throw new UsageError(
    [`${runtimeConfig} has libdir ${configured}, which overrides ${chosen.dir}`, ...chosen.notes].join('; '),
    `remove the line, or use the plugin it names`,
  );
}

/** The directory of the plugin for new containers. @throws {@link UsageError} if criu would use another one */
export function containerPluginDir(choice: PluginChoice, configured = configuredLibdir()): string {
  return containerPlugin(choice, {}, configured).dir;
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The criu for one operation of podman. */
export class ContainerRuntime {
  /** PATH for podman. */
  readonly path: string;
  readonly runDir: string;
  readonly plugin: ChosenPlugin;
  readonly #dir: string;

  private constructor(dir: string, runDir: string, plugin: ChosenPlugin) {
    this.#dir = dir;
    this.runDir = runDir;
    this.plugin = plugin;
    this.path = `${dir}${delimiter}${process.env.PATH ?? ''}`;
  }

  static async create(options: RuntimeOptions, use: RuntimeUse = {}): Promise<ContainerRuntime> {
    const plugin = containerPlugin(options, use);
    const libdir = plugin.dir;
    const operation = await resolveOperation({ ...options, libdir, imagesDir: '/' });
    const runDir = options.runDir ?? operation.runDir;
    const dir = makeTemporaryDirectory('criu-cuda-runtime-');
    const { criuOptions = [] } = options;
    const config = join(dir, 'criu.conf');
    if (criuOptions.length > 0) writeFileSync(config, `${criuOptions.join('\n')}\n`);
    const variables = {
      ...settingVariables(),
      ...softcudaVariables(),
      CRIU_CUDA_CONFIG: process.env.CRIU_CUDA_CONFIG ?? '',
      CRIU_CUDA_RUN_DIR: runDir,
      CRIU_LIBS_DIR: libdir,
      ...(criuOptions.length === 0 ? {} : { CRIU_CONFIG_FILE: config }),
    };
    const lines = [
      '#!/bin/sh',
      `echo $$ >> ${quote(join(dir, 'pids'))}`,
      // CRIU's own plugin starts cuda-checkpoint, which may be next to it
      `export PATH=${quote(libdir)}:"$PATH"`,
      ...Object.entries(variables).map(([key, value]) => `export ${key}=${quote(value)}`),
      `exec ${quote(operation.criu)} "$@"`,
    ];
    writeFileSync(join(dir, 'criu'), `${lines.join('\n')}\n`, { mode: 0o700 });
    return new ContainerRuntime(dir, runDir, plugin);
  }

  /**
   * What the plugin reported, once everything is done: device memory is saved, or restored in the processes. The
   * runtime first runs criu for its version; those runs report nothing.
   */
  async status(): Promise<OpStatus | undefined> {
    let last: OpStatus | undefined;
    for (const pid of this.#pids()) last = (await collectStatus(this.runDir, pid)) ?? last;
    return last;
  }

  #pids(): number[] {
    const file = join(this.#dir, 'pids');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : [];
  }

  /** The criu that was started last; `undefined` before the first. */
  criuPid(): number | undefined {
    return this.#pids().at(-1);
  }

  /** Ends the criu that runs now: then the runtime, and podman, fail as they do when criu fails. */
  endCriu(): void {
    for (const pid of this.#pids()) if (readStat(pid)?.comm === 'criu') sendSignal(pid, 'SIGTERM');
  }

  remove(): void {
    removeTemporaryDirectory(this.#dir);
  }
}
