// SPDX-License-Identifier: MIT
/**
 * What can be said about the files of a checkpoint before criu starts. The plugin checks all of it again.
 * @module
 */
import {
  checkpointRefusal,
  indexName,
  isStray,
  readCheckpointIndex,
  type CheckpointManifest,
} from './checkpoint-index.ts';
import { GpuImageError } from './error.ts';
import { listPageImages, readPageImage } from './pages.ts';
import { protocolRefusal } from './protocol.ts';
import { listGpuImages, readGpuImage } from './read.ts';
import type { CheckpointIndex } from './types.ts';

function refuse(reason: string | undefined): void {
  if (reason !== undefined) throw new GpuImageError(reason);
}

/** File names that the index lists and the directory does not have. */
export function missingFiles(index: CheckpointIndex | undefined, names: ReadonlySet<string>): string[] {
  return (index?.members ?? [])
    .flatMap(({ pid, gpu, host }) => [
      ...(gpu ? [`cuda-${pid}.img`] : []),
      ...(host ? [`cuda-host-${pid}.img`] : []),
    ])
    .filter((name) => !names.has(name));
}

/**
 * Checks that the files of the checkpoint in a directory are there and belong together.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
export async function checkCheckpoint(directory: string): Promise<void> {
  const index = await readCheckpointIndex(directory);
  const gpu = await listGpuImages(directory);
  const host = await listPageImages(directory);
  const [missing] = missingFiles(index, new Set([...gpu, ...host].map(({ name }) => name)));
  if (missing !== undefined) throw new GpuImageError(`${missing}: missing; ${indexName} lists it`);
  for (const found of host) {
    if (isStray(index, { ...found, kind: 'host' })) continue;
    const described: CheckpointManifest = { ...(await readPageImage(directory, found.pid)), kind: 'host' };
    refuse(checkpointRefusal(index, described));
  }
  // With an index, the plugin is as fast. Without one, it may be an image of a version that made none.
  for (const { name, pid } of index === undefined ? gpu : []) {
    const { manifest } = await readGpuImage(directory, pid);
    refuse(protocolRefusal(manifest, name) ?? checkpointRefusal(index, { ...manifest, name, kind: 'gpu' }));
  }
}
