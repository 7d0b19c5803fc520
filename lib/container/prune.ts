// SPDX-License-Identifier: MIT
/**
 * Removes containers that are left over: those that `createContainer` made, that are not running, and, unless all are asked
 * for, that have no checkpoint to be restored from.
 * @module
 */
import { existsSync } from 'node:fs';
import { labels } from './create.ts';
import { findContainer, podman, type ContainerInfo } from './podman.ts';
import { removeContainer } from './restore.ts';

/** What to remove. */
export interface PruneOptions {
  /** Also those that have a checkpoint, which is lost. @default false */
  all?: boolean | undefined;
  /** Only says what would be removed. @default false */
  dryRun?: boolean | undefined;
  /** Stops before the next container. */
  signal?: AbortSignal | undefined;
}

/** What was removed, and what was not. Names of containers. */
export interface PruneResult {
  /** Removed, or with `dryRun` to be removed. */
  removed: string[];
  /** Left, because they run. */
  running: string[];
  /** Left, because they have a checkpoint. */
  checkpointed: string[];
}

async function ours(signal: AbortSignal | undefined): Promise<ContainerInfo[]> {
  const words = ['ps', '--all', '--quiet', '--no-trunc', '--filter', `label=${labels.libdir}`];
  const { stdout } = await podman(words, { signal });
  const ids = stdout.split('\n').filter((line) => line !== '');
  const found = await Promise.all(ids.map((id) => findContainer(id)));
  return found.flatMap((one) => one ?? []).sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * Removes the containers of this program that are not in use, with their images. Others are never touched.
 * @throws `ContainerError` podman fails
 */
export async function pruneContainers(options: PruneOptions = {}): Promise<PruneResult> {
  const { all = false, dryRun = false, signal } = options;
  const result: PruneResult = { removed: [], running: [], checkpointed: [] };
  for (const one of await ours(signal)) {
    signal?.throwIfAborted();
    if (one.isRunning) result.running.push(one.name);
    else if (!all && existsSync(one.checkpointDir)) result.checkpointed.push(one.name);
    else {
      if (!dryRun) await removeContainer(one.name);
      result.removed.push(one.name);
    }
  }
  return result;
}
