// SPDX-License-Identifier: MIT
/**
 * Restores a container with podman and our plugin, in place or from a tar file, and returns when its GPU memory is
 * restored.
 * @module
 */
import { existsSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  criuFlagWords,
  inventoryNeeds,
  packedRestoreTransfer,
  readCriuLog,
  readInventory,
  readRestoreStats,
  restorePhases,
  restoreTransfer,
  type CudaTask,
  type OpStatus,
  type TaskMemory,
  type UsedPlugin,
} from '../criu/index.ts';
import { InterruptedError, UsageError } from '../errors.ts';
import { watchTransfer, type OnTransfer } from '../process/index.ts';
import { releaseDevices } from '../stop/index.ts';
import { operationWarnings, removeCheckpoint, runtimeFor } from './checkpoint.ts';
import { labels } from './create.ts';
import {
  findContainer,
  podman,
  podmanCriuFlags,
  podmanRemove,
  requireContainer,
  type ContainerInfo,
  type PodmanCriuFlags,
  type PodmanOptions,
} from './podman.ts';
import { runtimeMicroseconds, withPodman, type ContainerPhase } from './phases.ts';
import type { ContainerRuntime, RuntimeOptions } from './runtime.ts';
import { ContainerError } from './error.ts';
import { Import, type ImportOptions } from './import.ts';

/** Which container is restored, and how. */
export interface ContainerRestoreOptions
  extends Omit<RuntimeOptions, 'runDir' | 'criuOptions'>, PodmanCriuFlags, Omit<ImportOptions, 'name'> {
  /** The container; for an imported one, its new name. */
  name?: string | undefined;
  /** Tar file of a checkpoint. */
  importFrom?: string | undefined;
  /** Keep the images for another restore. @default false */
  keep?: boolean | undefined;
  /** The files that the container changed are not restored. */
  ignoreRootfs?: boolean | undefined;
  /** Its address is not restored. */
  ignoreStaticIp?: boolean | undefined;
  /** Its MAC address is not restored. */
  ignoreStaticMac?: boolean | undefined;
  /** Its volumes are not restored. */
  ignoreVolumes?: boolean | undefined;
  /** Called about three times per second with the bytes that are read. */
  onProgress?: OnTransfer | undefined;
}

/** A container that runs again. */
export interface ContainerRestoreResult {
  /** Name of the container. */
  name: string;
  /** Id of the container. */
  id: string;
  /** Of its first process, as seen from the host. */
  pid: number;
  /** Of podman's whole command; the phases add up to it. Milliseconds. */
  durationMs: number;
  /** Until every process had its GPU memory. Milliseconds. */
  memoryMs: number;
  /** Where the time went, in order. */
  phases: ContainerPhase[];
  /** Its CUDA processes. */
  tasks: CudaTask[];
  /** The plugin that criu loaded. */
  plugin: UsedPlugin;
  /** What the memory of each process went through, as far as the plugin tells. */
  memory: TaskMemory[];
  /** Messages for the user. */
  warnings: string[];
}

function restoreArguments(options: ContainerRestoreOptions, target: ContainerInfo | undefined): string[] {
  const { name, importFrom } = options;
  const flag = (word: string, isOn: boolean | undefined): string[] => (isOn === true ? [word] : []);
  return [
    // --keep: podman would remove the images before the memory is known to be restored
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

/** Reports the bytes of a restore to someone who asked for them. */
function watchOf(
  { onProgress, importFrom = '' }: ContainerRestoreOptions,
  target: ContainerInfo | undefined,
  runtime: ContainerRuntime,
): PodmanOptions['watch'] {
  if (!onProgress) return undefined;
  const criu = (): number | undefined => runtime.criuPid();
  return (podmanPid) =>
    watchTransfer(
      target
        ? restoreTransfer(target.checkpointDir, runtime.runDir, criu)
        : packedRestoreTransfer(importFrom, podmanPid, criu),
      onProgress,
    );
}

/** What to restore; `undefined` for a tar file, which becomes a new container. */
async function findTarget({ name, importFrom }: ContainerRestoreOptions): Promise<ContainerInfo | undefined> {
  if (importFrom !== undefined) {
    if (!existsSync(importFrom)) throw new UsageError(`${importFrom} does not exist`);
    if (statSync(importFrom).isDirectory()) {
      throw new UsageError(
        `${importFrom} is a directory`,
        'pass the tar file that criu-cuda container checkpoint --export has written',
      );
    }
    return undefined;
  }
  if (name === undefined) throw new UsageError('name a container, or pass --import FILE');
  const container = await requireContainer(name);
  if (container.isRunning)
    throw new ContainerError('ERR_CONTAINER_STATE', `${container.name} is already running`);
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

/** Where criu has written its log. */
interface LogPlace {
  dir: string | undefined;
  /** Whether it can be read afterwards. */
  isKept: boolean;
}

function restoreError(
  what: string,
  { dir, isKept }: LogPlace,
  error: unknown,
  status: OpStatus | undefined,
): unknown {
  if (error instanceof InterruptedError)
    return new InterruptedError('ERR_INTERRUPTED', `${error.message}: ${what} is not restored`, {
      hint: 'its checkpoint is unchanged',
      cause: error,
    });
  if (!(error instanceof ContainerError) || error.code !== 'ERR_CONTAINER') return error;
  const log = dir === undefined ? undefined : join(dir, 'restore.log');
  const found =
    log !== undefined && existsSync(log) ? readCriuLog(log) : { message: undefined, hint: undefined };
  const reason = failureOf(status) ?? found.message;
  const hint = found.hint ?? (log !== undefined && isKept ? `the log is ${log}` : undefined);
  // podman names only criu's log, of which this is the reason
  const cause = reason === undefined ? error : undefined;
  return new ContainerError('ERR_CONTAINER_RESTORE', `cannot restore ${what}: ${reason ?? error.message}`, {
    facts: error.facts,
    cause,
    hint,
  });
}

/** Why device memory was not restored; criu itself may not have noticed. */
function failureOf(status: OpStatus | undefined): string | undefined {
  const failed = status?.tasks.filter((task) => task.outcome === 'failed') ?? [];
  if (failed.length === 0) return undefined;
  return `device memory of ${failed.map((task) => `${task.pid}: ${task.reason ?? 'unknown reason'}`).join('; ')}`;
}

/** The ID of the container in podman's statistics. */
function restoredId(stdout: string): string {
  const id = /"Id":\s*"([0-9a-f]+)"/.exec(stdout)?.[1];
  if (id === undefined)
    throw new ContainerError('ERR_CONTAINER', 'podman did not report which container it restored');
  return id;
}

/**
 * Restores a container. When it fails, a container in place still has its checkpoint, and an imported one is removed.
 */
export async function restoreContainer(options: ContainerRestoreOptions): Promise<ContainerRestoreResult> {
  const target = await findTarget(options);
  const what = target?.name ?? options.importFrom ?? '';
  const { importFrom, signal } = options;
  const imported = importFrom === undefined ? undefined : await Import.begin(importFrom, options);
  const needs = target
    ? inventoryNeeds(target.checkpointDir, readInventory(target.checkpointDir))
    : imported?.needs;
  const runtime = await runtimeFor(
    { ...options, criuOptions: imported?.criuOptions },
    target?.labels ?? {},
    needs,
  );
  try {
    const start = performance.now();
    const args = restoreArguments({ ...options, importFrom: imported?.file }, target);
    const { stdout } = await podman(args, {
      path: runtime.path,
      signal,
      endEarly: () => {
        runtime.endCriu();
      },
      watch: watchOf(options, target, runtime),
    });
    const durationMs = performance.now() - start;
    const status = await runtime.status();
    const memoryMs = performance.now() - start;
    const container = await requireContainer(restoredId(stdout));
    const failure = failureOf(status);
    if (failure !== undefined) throw deviceError(container, failure, target === undefined);
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
      plugin: runtime.plugin.plugin,
      memory: status?.memory ?? [],
      warnings: operationWarnings(runtime, status),
    };
  } catch (error) {
    const status = await runtime.status();
    const dir = target?.dir ?? (await imported?.logDir());
    const failure = restoreError(what, { dir, isKept: target !== undefined }, error, status);
    await imported?.undo(failure);
    throw failure;
  } finally {
    runtime.remove();
    imported?.close();
  }
}

/** The plugin has killed the processes whose memory it could not restore; podman notices that by itself. */
function deviceError(container: ContainerInfo, failure: string, isImported: boolean): ContainerError {
  return new ContainerError('ERR_CONTAINER_RESTORE', `cannot restore ${container.name}: ${failure}`, {
    hint: isImported
      ? 'the new container was removed'
      : `its checkpoint is still there; the log is ${container.dir}/restore.log`,
  });
}

/**
 * Removes the container's files. The directory may have others: those of the container that this one was made from,
 * or of a user.
 */
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
  if (container.isRunning) await releaseDevices(container.pid);
  await podmanRemove(container.id);
  const store = container.labels[labels.store];
  if (store !== undefined) leaveStore(store, container.id);
  return container;
}
