// SPDX-License-Identifier: MIT
/**
 * The index of a checkpoint, `cuda.img`: which files of the directory belong together. plugins-cuda/image/index.proto
 * defines the layout.
 * @module
 */
import { join } from 'node:path';
import { isErrno } from '../errno.ts';
import { GpuImageError } from './error.ts';
import { contentsOf } from './files.ts';
import { IndexSchema } from './gen/index_pb.ts';
import { dateOf, decodeManifest, formatId, formatUuid, readHead } from './manifest.ts';
import type { CheckpointIndex } from './types.ts';

/** File name of the index. */
export const indexName = 'cuda.img';

/**
 * Reads the index of a directory. Undefined if there is none: then all manifests belong to the checkpoint.
 * @throws {@link GpuImageError} the index is damaged
 */
export async function readCheckpointIndex(directory: string): Promise<CheckpointIndex | undefined> {
  let bytes: Buffer;
  try {
    bytes = await contentsOf(join(directory, indexName));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  return decodeManifest(readHead(bytes, indexName, 'index'), IndexSchema, indexName, (message) => {
    const id = formatId(message.id);
    if (id === null) throw new GpuImageError(`${indexName}: id has no bytes`);
    return {
      id,
      created: dateOf(message.created),
      tool: message.tool,
      members: message.members.map(({ pid, gpu, host }) => ({ pid, gpu, host })),
      deviceFiles: message.deviceFiles.map(({ id: file, path, flags, gpu }) => ({
        ...{ id: file, path, flags },
        gpu: gpu.length === 16 ? formatUuid(gpu) : null,
      })),
    };
  });
}

/** What a manifest says about itself, and which part of the checkpoint it is for. */
export interface CheckpointManifest {
  kind: 'gpu' | 'host';
  name: string;
  pid: number;
  checkpoint: string | null;
}

/** Whether another dump left the manifest in the directory: a restore ignores it. */
export function isStray(
  index: CheckpointIndex | undefined,
  { pid, kind }: Pick<CheckpointManifest, 'pid' | 'kind'>,
): boolean {
  return index !== undefined && !index.members.some((member) => member.pid === pid && member[kind]);
}

/** Why a restore refuses the directory because of a manifest that is not a stray; undefined if it does not. */
export function checkpointRefusal(
  index: CheckpointIndex | undefined,
  { name, checkpoint }: CheckpointManifest,
): string | undefined {
  if (index !== undefined && checkpoint !== index.id) {
    return `${name}: belongs to another checkpoint than ${indexName}: make the checkpoint again`;
  }
  if (index === undefined && checkpoint !== null) {
    return `${indexName}: missing, and ${name} belongs to a checkpoint: the dump did not complete, or not all files were copied`;
  }
  return undefined;
}
