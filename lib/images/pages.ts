// SPDX-License-Identifier: MIT
/**
 * Page files: host memory stored outside CRIU's own images, in `cuda-host-<pid>.img` and the file it names.
 * plugins-cuda/image/pages.proto defines the layout.
 * @module
 */
import { join } from 'node:path';
import { checkPages } from './check.ts';
import { GpuImageError } from './error.ts';
import { contentsOf } from './files.ts';
import { toNumber } from '../protobuf.ts';
import { PageManifestSchema } from './gen/pages_pb.ts';
import { dateOf, decodeManifest, formatId, readHead } from './manifest.ts';
import { checkImageFile, listManifests, type FoundManifest } from './read.ts';
import type { PageImage } from './types.ts';

const manifestName = /^cuda-host-([1-9]\d*)\.img$/;

/**
 * Reads the manifest of one process and checks that its page file exists and has its length.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
export async function readPageImage(directory: string, pid: number): Promise<PageImage> {
  const name = `cuda-host-${pid}.img`;
  const message = readHead(await contentsOf(join(directory, name)), name, 'page');
  const pages = decodeManifest(message, PageManifestSchema, name, (manifest): PageImage => ({
    name,
    file: `cuda-pages-${pid}-${Buffer.from(manifest.id).toString('hex')}.img`,
    checkpoint: formatId(manifest.checkpoint),
    pid: manifest.pid,
    created: dateOf(manifest.created),
    tool: manifest.tool,
    directory: manifest.directory,
    size: toNumber(manifest.size),
    stored: toNumber(manifest.stored),
    mappings: manifest.mappings.map(({ address, size, offset, drivers, shared }) => ({
      address,
      size: toNumber(size),
      offset: toNumber(offset),
      drivers,
      shared,
    })),
    emptied: manifest.emptied.map(({ address, size, hidden }) => ({
      address,
      size: toNumber(size),
      hidden,
    })),
  }));
  if (pages.pid !== pid) throw new GpuImageError(`${name}: pid is ${pages.pid}`);
  checkPages(pages, name);
  await checkImageFile(directory, { name: pages.file, size: pages.size }, name);
  return pages;
}

/** File names and pids of the manifests of page files in a directory, sorted by pid. */
export function listPageImages(directory: string): Promise<FoundManifest[]> {
  return listManifests(directory, manifestName);
}

/**
 * Reads the manifests of all page files of a directory.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
export async function readPageImages(directory: string): Promise<PageImage[]> {
  const images: PageImage[] = [];
  for (const { pid } of await listPageImages(directory)) {
    images.push(await readPageImage(directory, pid));
  }
  return images;
}
