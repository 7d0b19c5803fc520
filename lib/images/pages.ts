// SPDX-License-Identifier: MIT
/**
 * Page files: host memory beside CRIU's images, `cuda-host-<pid>.img` and the
 * file it names. The layout is that of plugins-cuda/image/pages.proto.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkPages } from './check.ts';
import { GpuImageError } from './error.ts';
import { decodeManifest, readHead } from './manifest.ts';
import { checkImageFile, listManifests } from './read.ts';
import type { PageImage } from './types.ts';

const mapping = {
  address: { number: 1, type: 'fixed64' },
  size: { number: 2, type: 'uint' },
  offset: { number: 3, type: 'uint' },
  drivers: { number: 4, type: 'bool' },
  shared: { number: 5, type: 'bool' },
} as const;

const manifest = {
  id: { number: 1, type: 'bytes' },
  created: { number: 2, type: 'fixed64' },
  tool: { number: 3, type: 'text' },
  pid: { number: 4, type: 'uint' },
  directory: { number: 5, type: 'text' },
  size: { number: 6, type: 'uint' },
  modified: { number: 7, type: 'fixed64' },
  stored: { number: 8, type: 'uint' },
  chunkSize: { number: 9, type: 'uint' },
  mappings: { number: 11, type: mapping, repeated: true },
} as const;

const manifestName = /^cuda-host-([1-9]\d*)\.img$/;

/**
 * Reads the manifest of one process and looks for its page file.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
async function readPageImage(directory: string, pid: number): Promise<PageImage> {
  const name = `cuda-host-${pid}.img`;
  const message = readHead(await readFile(join(directory, name)), name, 'page');
  const { id, created, mappings, ...rest } = decodeManifest(message, manifest, name);
  if (rest.pid !== pid) throw new GpuImageError(`${name}: pid is ${rest.pid}`);
  checkPages({ size: rest.size, stored: rest.stored, mappings }, name);
  const file = `cuda-pages-${pid}-${Buffer.from(id).toString('hex')}.img`;
  await checkImageFile(directory, { name: file, size: rest.size }, name);
  return {
    name,
    file,
    pid,
    created: new Date(Number(created / 1_000_000n)),
    tool: rest.tool,
    directory: rest.directory,
    size: rest.size,
    stored: rest.stored,
    mappings,
  };
}

/** Reads the manifests of all page files of a directory; each file is there and has its length. */
export async function readPageImages(directory: string): Promise<PageImage[]> {
  const images: PageImage[] = [];
  for (const { pid } of await listManifests(directory, manifestName)) {
    images.push(await readPageImage(directory, pid));
  }
  return images;
}
