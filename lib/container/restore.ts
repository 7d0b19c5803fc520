// SPDX-License-Identifier: MIT
/**
 * Restores a container with podman and our plugin, in place or from a tar
 * file, and returns when its GPU memory is back.
 * @module
 */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import {
  criuFlagWords,
  readCriuLog,
  readRestoreStats,
  restorePhases,
  type CudaTask,
  type OpStatus,
} from '../criu/index.ts';
import { makeDirectory } from '../directory.ts';
import { UsageError } from '../errors.ts';
import { execResult } from '../exec.ts';
import { removeCheckpoint, runtimeFor } from './checkpoint.ts';
import { labels } from './create.ts';
import {
  findContainer,
  podman,
  podmanCriuFlags,
  PODMAN_TIMEOUT_MS,
  requireContainer,
  type ContainerInfo,
  type PodmanCriuFlags,
} from './podman.ts';
import { runtimeMicroseconds, withPodman, type ContainerPhase } from './phases.ts';
import { ContainerRuntime, type RuntimeOptions } from './runtime.ts';
import { ContainerError } from './error.ts';

/** Which container is restored, and how. */
export interface ContainerRestoreOptions extends Omit<RuntimeOptions, 'runDir'>, PodmanCriuFlags {
  /** The container; of an imported one, the name it gets. */
  name?: string | undefined;
  /** Tar file of a checkpoint. */
  importFrom?: string | undefined;
  /** The images stay, for another restore. @default false */
  keep?: boolean | undefined;
  /** The files that the container changed are not restored. */
  ignoreRootfs?: boolean | undefined;
  /** Its address is not restored. */
  ignoreStaticIp?: boolean | undefined;
  /** Its MAC address is not restored. */
  ignoreStaticMac?: boolean | undefined;
  /** Its volumes are not restored. */
  ignoreVolumes?: boolean | undefined;
}

/** A container that runs again. */
export interface ContainerRestoreResult {
  /** Name of the container. */
  name: string;
  /** Id of the container. */
  id: string;
  /** Of its first process, as seen here. */
  pid: number;
  /** Of podman's whole command; the phases add up to it. Milliseconds. */
  durationMs: number;
  /** Until every process had its GPU memory. */
  memoryMs: number;
  /** Where the time went, in order. */
  phases: ContainerPhase[];
  /** Its CUDA processes. */
  tasks: CudaTask[];
}

function restoreArguments(options: ContainerRestoreOptions, target: ContainerInfo | undefined): string[] {
  const { name, importFrom } = options;
  const flag = (word: string, isOn: boolean | undefined): string[] => (isOn === true ? [word] : []);
  return [
    // --keep: podman would remove the images before the memory is known to be back
    ...['container', 'restore', '--print-stats', '--keep'],
    ...(importFrom === undefined ? [] : ['--import', resolve(importFrom)]),
    ...(importFrom === undefined || name === undefined ? [] : ['--name', name]),
    ...flag('--ignore-rootfs', options.ignoreRootfs),
    ...flag('--ignore-static-ip', options.ignoreStaticIp),
    ...flag('--ignore-static-mac', options.ignoreStaticMac),
    ...flag('--ignore-volumes', options.ignoreVolumes),
    ...criuFlagWords(options, podmanCriuFlags),
    ...(target === undefined ? [] : [target.id]),
  ];
}

/** What is to be restored; `undefined` for a tar file, which becomes a new container. */
async function findTarget({ name, importFrom }: ContainerRestoreOptions): Promise<ContainerInfo | undefined> {
  if (importFrom !== undefined) {
    if (!existsSync(importFrom)) throw new UsageError(`${importFrom} does not exist`);
    return undefined;
  }
  if (name === undefined) throw new UsageError('a container or --import FILE is needed');
  const container = await requireContainer(name);
  if (container.isRunning) throw new ContainerError('ERR_CONTAINER_STATE', `${container.name} runs already`);
  if (!existsSync(join(container.checkpointDir, 'inventory.img'))) {
    throw new ContainerError(
      'ERR_CONTAINER_STATE',
      `${container.name} has no checkpoint in ${container.checkpointDir}`,
      {
        hint: `criu-cuda container checkpoint ${container.name}`,
      },
    );
  }
  return container;
}

function restoreError(
  what: string,
  dir: string | undefined,
  error: unknown,
  status: OpStatus | undefined,
): unknown {
  if (!(error instanceof ContainerError) || error.code !== 'ERR_CONTAINER') return error;
  const log = dir === undefined ? undefined : join(dir, 'restore.log');
  const { message, hint } =
    log !== undefined && existsSync(log) ? readCriuLog(log) : { message: undefined, hint: undefined };
  return new ContainerError(
    'ERR_CONTAINER_RESTORE',
    `cannot restore ${what}: ${failureOf(status) ?? message ?? error.message}`,
    { facts: error.facts, cause: error, hint: hint ?? (log === undefined ? undefined : `the log is ${log}`) },
  );
}

/** Why a device did not come back; criu itself may not have noticed. */
function failureOf(status: OpStatus | undefined): string | undefined {
  const failed = status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
  if (failed.length === 0) return undefined;
  return `device memory of ${failed.map((task) => `${task.pid}: ${task.reason ?? 'unknown reason'}`).join('; ')}`;
}

/** The container podman names in its statistics. */
function restoredId(stdout: string): string {
  const id = /"Id":\s*"([0-9a-f]+)"/.exec(stdout)?.[1];
  if (id === undefined) throw new ContainerError('ERR_CONTAINER', 'podman did not say what it restored');
  return id;
}

const exported = z.object({ labels: z.record(z.string(), z.string()).optional() });

function readLabels(file: string, config: string): Record<string, string> {
  try {
    return exported.parse(JSON.parse(config)).labels ?? {};
  } catch (cause) {
    throw new ContainerError('ERR_CONTAINER', `config.dump in ${file} cannot be read`, { cause });
  }
}

/** A directory that the exported container has mounted, and that went with it or never was on this machine. */
async function makeStore(file: string, signal: AbortSignal | undefined): Promise<void> {
  const { stdout, exitCode } = await execResult('tar', ['-xOf', resolve(file), 'config.dump'], {
    // tar reads a compressed file to its end
    timeoutMs: PODMAN_TIMEOUT_MS,
    signal,
  });
  const store = exitCode === 0 ? readLabels(file, stdout)[labels.store] : undefined;
  if (store !== undefined) makeDirectory(store, 0o700);
}

/**
 * Restores a container. When it fails, a container in place has its checkpoint
 * still, and an imported one is gone again.
 */
export async function restoreContainer(options: ContainerRestoreOptions): Promise<ContainerRestoreResult> {
  const target = await findTarget(options);
  const what = target?.name ?? options.importFrom ?? '';
  const runtime = await ContainerRuntime.create(runtimeFor(options, target?.labels ?? {}));
  try {
    const { importFrom, signal } = options;
    if (importFrom !== undefined) await makeStore(importFrom, signal);
    const start = performance.now();
    const args = restoreArguments(options, target);
    const { stdout } = await podman(args, {
      path: runtime.path,
      signal,
    });
    const durationMs = performance.now() - start;
    const status = await runtime.status();
    const memoryMs = performance.now() - start;
    const container = await requireContainer(restoredId(stdout));
    const failure = failureOf(status);
    if (failure !== undefined) throw await deviceError(container, failure, target === undefined);
    const runtimeMs = runtimeMicroseconds(stdout, 'restore') / 1000;
    const phases = restorePhases({ durationMs: runtimeMs, status }, readRestoreStats(container.dir));
    if (options.keep !== true) removeCheckpoint(container.checkpointDir);
    return {
      name: container.name,
      id: container.id,
      pid: container.pid,
      durationMs,
      memoryMs: Math.max(memoryMs, durationMs),
      phases: withPodman(phases, durationMs),
      tasks: status?.tasks ?? [],
    };
  } catch (error) {
    throw restoreError(what, target?.dir, error, await runtime.status());
  } finally {
    runtime.remove();
  }
}

/** The plugin has killed what it could not give its memory; podman notices that by itself. */
async function deviceError(
  container: ContainerInfo,
  failure: string,
  isImported: boolean,
): Promise<ContainerError> {
  if (isImported) await podman(['rm', '--force', container.id]);
  return new ContainerError('ERR_CONTAINER_RESTORE', `cannot restore ${container.name}: ${failure}`, {
    hint: isImported
      ? 'nothing of it is left'
      : `its checkpoint is still there; the log is ${container.dir}/restore.log`,
  });
}

/** The directory may be of others too: of the container that this one was made from, or of somebody with files there. */
function leaveStore(store: string, id: string): void {
  if (!existsSync(store)) return;
  const names = readdirSync(store);
  const own = names.filter((name) => name.startsWith(id));
  for (const name of own) rmSync(join(store, name), { recursive: true, force: true });
  if (own.length === names.length) rmdirSync(store);
}

/** Removes a container, running or not, and its images wherever they are, and nothing else. */
export async function removeContainer(name: string): Promise<ContainerInfo | undefined> {
  const container = await findContainer(name);
  if (!container) return undefined;
  removeCheckpoint(container.checkpointDir);
  await podman(['rm', '--force', '--time', '0', container.id]);
  const store = container.labels[labels.store];
  if (store !== undefined) leaveStore(store, container.id);
  return container;
}
