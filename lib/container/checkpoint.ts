// SPDX-License-Identifier: MIT
/**
 * Checkpoints a container with podman and our plugin, and reports what happened to its GPU memory.
 * @module
 */
import { existsSync, lstatSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { hasCheckpoint, imagesBytes } from '../checkpoint/index.ts';
import {
  criuFlagWords,
  dumpPhases,
  dumpTransfer,
  failedStep,
  memoryWarnings,
  packedDumpTransfer,
  readCriuLog,
  readDumpStats,
  stepFailure,
  type CudaTask,
  type ImageNeeds,
  type OpStatus,
  type TaskMemory,
  type UsedPlugin,
} from '../criu/index.ts';
import { makeDirectory } from '../directory.ts';
import { InterruptedError, UsageError } from '../errors.ts';
import {
  isEnding,
  residentBytes,
  waitForExit,
  watchTransfer,
  type OnTransfer,
  type ReadTransfer,
} from '../process/index.ts';
import { labels } from './create.ts';
import {
  podman,
  podmanCriuFlags,
  requireContainer,
  type ContainerInfo,
  type PodmanCriuFlags,
} from './podman.ts';
import { runtimeMicroseconds, withPodman, type ContainerPhase } from './phases.ts';
import { ContainerRuntime, type RuntimeOptions } from './runtime.ts';
import { ContainerError } from './error.ts';
import { checkPath } from '../check.ts';

/** Which container is checkpointed, and where its checkpoint goes. */
export interface ContainerCheckpointOptions
  extends Omit<RuntimeOptions, 'runDir' | 'criuOptions'>, PodmanCriuFlags {
  /** Name or id of the container. */
  name: string;
  /** Keep the container running after the checkpoint. @default false */
  leaveRunning?: boolean | undefined;
  /** Write this tar file: GPU images, CRIU's images and the container's changed files. */
  exportTo?: string | undefined;
  /** Compression of the tar file. @default none: GPU memory hardly gets smaller, and it takes longer */
  compress?: 'none' | 'gzip' | 'zstd' | undefined;
  /** Leave files that the container changed out of the tar file. */
  ignoreRootfs?: boolean | undefined;
  /** The tar goes without the container's volumes. */
  ignoreVolumes?: boolean | undefined;
  /**
   * Directory for the images, such as a huge-page tmpfs. @default the one it was created with, otherwise podman's own
   */
  store?: string | undefined;
  /** Called about three times per second with the bytes that are written. */
  onProgress?: OnTransfer | undefined;
}

/** A checkpoint of a container that is complete. */
export interface ContainerCheckpointResult {
  /** Name of the container. */
  name: string;
  /** Id of the container. */
  id: string;
  /** Where the images are; `undefined` when they are in a tar file. */
  imagesDir: string | undefined;
  /** Absolute path of the tar file. */
  exportedTo: string | undefined;
  /** Size of the images, or of the tar file. */
  bytes: number;
  /** Whether the container keeps running. */
  isRunning: boolean;
  /** Of podman's whole command; the phases add up to it. Milliseconds. */
  durationMs: number;
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

/** How long a container may take to be killed. With much memory it is visible for longer. */
const KILLED_MS = 1000;

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** Provides the images directory where podman looks for it, and removes it after a failure. */
class CheckpointPlace {
  readonly #link: string;
  readonly #kept: string;
  readonly #target: string | undefined;

  constructor(container: ContainerInfo, { store, exportTo }: ContainerCheckpointOptions) {
    const made = container.labels[labels.store];
    this.#link = container.checkpointDir;
    this.#kept = `${this.#link}.previous`;
    if (exportTo !== undefined) this.#target = undefined;
    else if (made !== undefined && (store === undefined || join(resolve(store), container.name) === made))
      this.#target = join(made, container.id);
    else this.#target = store === undefined ? undefined : join(resolve(store), container.id);
  }

  /** Renames an earlier checkpoint: files of two dumps must not mix. */
  prepare(): void {
    this.#recover();
    // two checkpoints in one store have different directories
    const target =
      this.#target !== undefined && existsSync(this.#target) ? `${this.#target}-${Date.now()}` : this.#target;
    if (target !== undefined) makeDirectory(target, 0o700);
    if (isThere(this.#link)) renameSync(this.#link, this.#kept);
    if (target !== undefined) symlinkSync(target, this.#link);
  }

  /** After a killed run, keeps one of the two checkpoints: the new one if it is complete. */
  #recover(): void {
    if (!isThere(this.#kept)) return;
    if (hasCheckpoint(this.#link)) removeCheckpoint(this.#kept);
    else this.rollBack();
  }

  /** @param isInPlace false when the images are in a tar file: the earlier checkpoint stays */
  commit(isInPlace: boolean): void {
    if (isInPlace) removeCheckpoint(this.#kept);
    else this.rollBack();
  }

  rollBack(): void {
    removeCheckpoint(this.#link);
    if (isThere(this.#kept)) renameSync(this.#kept, this.#link);
  }
}

/** Where the images are: with a store, the place of podman has only a link to them. */
export function imagesPlace(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : path;
}

/** Removes images wherever they are. */
export function removeCheckpoint(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink() === true) rmSync(readlinkSync(path), { recursive: true, force: true });
  rmSync(path, { recursive: true, force: true });
}

function checkpointArguments(options: ContainerCheckpointOptions, id: string): string[] {
  const { leaveRunning, exportTo, compress = 'none', ignoreRootfs, ignoreVolumes } = options;
  if (exportTo !== undefined && options.store !== undefined)
    throw new UsageError('a checkpoint is written to a store or to a tar file, not both');
  const flag = (name: string, isOn: boolean | undefined): string[] => (isOn === true ? [name] : []);
  return [
    // --keep: criu's log and statistics
    ...['container', 'checkpoint', '--print-stats', '--keep'],
    ...flag('--leave-running', leaveRunning),
    ...(exportTo === undefined ? [] : ['--export', resolve(exportTo), '--compress', compress]),
    ...flag('--ignore-rootfs', ignoreRootfs),
    ...flag('--ignore-volumes', ignoreVolumes),
    ...criuFlagWords(options, podmanCriuFlags),
    id,
  ];
}

/** The criu for a container: its run directory, and the plugin it was created for, if that can do what is needed. */
export function runtimeFor(
  options: Omit<RuntimeOptions, 'runDir'>,
  made: ContainerInfo['labels'],
  needs?: ImageNeeds,
): Promise<ContainerRuntime> {
  const { criu, variant, libdir, signal, criuOptions } = options;
  return ContainerRuntime.create(
    { variant, libdir, runDir: made[labels.runDir], criu, signal, criuOptions },
    { needs, madeFor: made[labels.libdir] },
  );
}

/** What the user should know about an operation: the plugins passed over, and what the pool could not do. */
export function operationWarnings(runtime: ContainerRuntime, status: OpStatus | undefined): string[] {
  return [...runtime.plugin.notes, ...memoryWarnings(status?.memory ?? [], status?.fallbacks ?? [])];
}

function checkpointError(
  container: ContainerInfo,
  error: unknown,
  status: OpStatus | undefined,
  isDumped: boolean,
): unknown {
  if (error instanceof InterruptedError)
    return new InterruptedError(
      'ERR_INTERRUPTED',
      `${error.message}: ${container.name} ${
        isDumped
          ? `has ended, and its checkpoint is in ${imagesPlace(container.checkpointDir)}`
          : 'runs as before'
      }`,
      { hint: isDumped ? `criu-cuda container restore ${container.name}` : undefined, cause: error },
    );
  if (!(error instanceof ContainerError) || error.code !== 'ERR_CONTAINER') return error;
  const log = join(container.dir, 'dump.log');
  const { message, hint } = existsSync(log) ? readCriuLog(log) : { message: undefined, hint: undefined };
  const step = failedStep(status?.steps ?? []);
  if (isDumped) {
    return new ContainerError(
      'ERR_CONTAINER_CHECKPOINT',
      `${container.name} has ended, and its checkpoint is in ${imagesPlace(container.checkpointDir)}: ${error.message}`,
      { facts: error.facts, cause: error, hint: `criu-cuda container restore ${container.name}` },
    );
  }
  const reason = step ? `driver's ${step.step}: ${stepFailure(step)}` : (message ?? error.message);
  return new ContainerError(
    'ERR_CONTAINER_CHECKPOINT',
    `cannot checkpoint ${container.name}: ${reason}; it is still running`,
    { facts: error.facts, cause: error, hint: hint ?? `the log is ${log}` },
  );
}

/**
 * Runs podman. If it fails and the container has not ended, the earlier checkpoint is restored. @returns the output
 */
async function dump(
  container: ContainerInfo,
  args: readonly string[],
  place: CheckpointPlace,
  runtime: ContainerRuntime,
  { signal, onProgress, exportTo }: ContainerCheckpointOptions,
): Promise<string> {
  const { checkpointDir, pid } = container;
  const read = (): ReadTransfer =>
    exportTo === undefined
      ? dumpTransfer(checkpointDir, residentBytes(pid))
      : packedDumpTransfer(checkpointDir, residentBytes(pid), resolve(exportTo));
  const watch = onProgress && (() => watchTransfer(read(), onProgress));
  try {
    // with all images, only podman's part is left: without it, /dev/shm of the container is lost
    const endEarly = (): void => {
      if (!hasCheckpoint(checkpointDir)) runtime.endCriu();
    };
    const options = { path: runtime.path, signal, watch, endEarly };
    return (await podman(args, options)).stdout;
  } catch (error) {
    // the watcher may still return memory, and the helper write images
    const status = await runtime.status();
    // for example when the tar file did not fit: the images are all that is left of a container that has ended
    const isDumped =
      hasCheckpoint(container.checkpointDir) &&
      ((await waitForExit(container.pid, { timeoutMs: KILLED_MS })) !== undefined || isEnding(container.pid));
    if (isDumped) place.commit(true);
    else place.rollBack();
    throw checkpointError(container, error, status, isDumped);
  }
}

/**
 * Checkpoints a running container. When it fails, the container keeps running and an earlier checkpoint is kept. If
 * the container has ended anyway, it has the new checkpoint, and the error says so.
 */
export async function checkpointContainer(
  options: ContainerCheckpointOptions,
): Promise<ContainerCheckpointResult> {
  const { store, exportTo } = options;
  for (const [name, path] of Object.entries({ store, exportTo }))
    if (path !== undefined) checkPath(name, path);
  const container = await requireContainer(options.name);
  if (!container.isRunning) {
    throw new ContainerError('ERR_CONTAINER_STATE', `${container.name} is not running`, {
      hint: 'podman ps --all',
    });
  }
  const args = checkpointArguments(options, container.id);
  const runtime = await runtimeFor(options, container.labels);
  try {
    const place = new CheckpointPlace(container, options);
    place.prepare();
    const start = performance.now();
    const stdout = await dump(container, args, place, runtime, options);
    const durationMs = performance.now() - start;
    place.commit(options.exportTo === undefined);
    const status = await runtime.status();
    const runtimeMs = runtimeMicroseconds(stdout, 'checkpoint') / 1000;
    const phases = dumpPhases({ durationMs: runtimeMs, status }, readDumpStats(container.dir));
    const imagesDir = exportTo === undefined ? imagesPlace(container.checkpointDir) : undefined;
    return {
      name: container.name,
      id: container.id,
      imagesDir,
      exportedTo: exportTo === undefined ? undefined : resolve(exportTo),
      bytes: exportTo === undefined ? imagesBytes(container.checkpointDir) : statSync(exportTo).size,
      isRunning: options.leaveRunning ?? false,
      durationMs,
      phases: withPodman(phases, durationMs),
      tasks: status?.tasks ?? [],
      plugin: runtime.plugin.plugin,
      memory: status?.memory ?? [],
      warnings: operationWarnings(runtime, status),
    };
  } finally {
    runtime.remove();
  }
}
