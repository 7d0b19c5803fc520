// SPDX-License-Identifier: MIT
/**
 * Page files: host memory stored outside CRIU's own images, in `cuda-host-<pid>.img` and the file it names.
 * plugins-cuda/image/pages.proto defines the layout.
 * @module
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkPages } from './check.ts';
import { GpuImageError } from './error.ts';
import { toNumber } from '../protobuf.ts';
import { PageManifestSchema } from './gen/pages_pb.ts';
import { dateOf, decodeManifest, readHead } from './manifest.ts';
import { checkImageFile, listManifests } from './read.ts';
import type { PageImage } from './types.ts';

const manifestName = /^cuda-host-([1-9]\d*)\.img$/;

/**
 * Reads the manifest of one process and checks that its page file exists and has its length.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
async function readPageImage(directory: string, pid: number): Promise<PageImage> {
  const name = `cuda-host-${pid}.img`;
  const message = readHead(await readFile(join(directory, name)), name, 'page');
  const pages = decodeManifest(message, PageManifestSchema, name, (manifest): PageImage => ({
    name,
    file: `cuda-pages-${pid}-${Buffer.from(manifest.id).toString('hex')}.img`,
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
  }));
  if (pages.pid !== pid) throw new GpuImageError(`${name}: pid is ${pages.pid}`);
  checkPages(pages, name);
  await checkImageFile(directory, { name: pages.file, size: pages.size }, name);
  return pages;
}

/**
 * Reads the manifests of all page files of a directory.
 * @throws {@link GpuImageError} naming the file and what is wrong
 */
export async function readPageImages(directory: string): Promise<PageImage[]> {
  const images: PageImage[] = [];
  for (const { pid } of await listManifests(directory, manifestName)) {
    images.push(await readPageImage(directory, pid));
  }
  return images;
}
