// SPDX-License-Identifier: MIT
/**
 * Looks into a container's image before a container is created from it.
 * @module
 */
import { resolve } from 'node:path';
import { preloadable, type Preloadable } from '../inspect/index.ts';
import { podman, type PodmanOptions } from './podman.ts';

/** Fetches the image as `podman run` would. */
async function fetchImage(image: string, options: PodmanOptions): Promise<void> {
  try {
    await podman(['image', 'exists', image], options);
  } catch {
    await podman(['pull', '--quiet', image], options);
  }
}

/**
 * Whether programs of an image start with the interceptor preloaded. Where podman cannot mount the image (without
 * root), they are taken to do so.
 * @param podmanArgs the user's own; with `--rootfs`, the image is a directory
 * @throws `ContainerError` ERR_CONTAINER when there is no such image
 */
export async function imagePreloadable(
  image: string,
  podmanArgs: readonly string[],
  options: PodmanOptions = {},
): Promise<Preloadable> {
  if (podmanArgs.includes('--rootfs')) return preloadable(resolve(image));
  await fetchImage(image, options);
  let root: string;
  try {
    root = (await podman(['image', 'mount', image], options)).stdout.trim();
  } catch {
    return { ok: true };
  }
  try {
    return preloadable(root);
  } finally {
    await podman(['image', 'unmount', image], options);
  }
}
