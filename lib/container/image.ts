// SPDX-License-Identifier: MIT
/**
 * Looks into a container's image before a container is created from it.
 * @module
 */
import { resolve } from 'node:path';
import { preloadable, type Preloadable } from '../inspect/index.ts';
import { ReadMeter, watchTransfer, type OnTransfer } from '../process/index.ts';
import { podman, type PodmanOptions } from './podman.ts';

/** podman tells nobody but a terminal how large an image is. */
const UNKNOWN = Number.POSITIVE_INFINITY;

/** Whether the image of a container is a directory, which is not fetched. */
const isDirectory = (podmanArgs: readonly string[]): boolean => podmanArgs.includes('--rootfs');

/**
 * Fetches the image as `podman run` would, unless it is there.
 * @param onTransfer gets the bytes that podman reads, from the registry above all
 */
export async function fetchImage(
  image: string,
  podmanArgs: readonly string[],
  options: PodmanOptions,
  onTransfer: OnTransfer | undefined,
): Promise<void> {
  if (isDirectory(podmanArgs)) return;
  try {
    await podman(['image', 'exists', image], options);
    return;
  } catch {
    // it has to be fetched
  }
  const watch = (pid: number): (() => void) => {
    const meter = new ReadMeter(UNKNOWN);
    return onTransfer ? watchTransfer(() => meter.read(pid), onTransfer) : () => undefined;
  };
  await podman(['pull', '--quiet', image], { ...options, watch });
}

/**
 * Whether programs of an image that is here start with the interceptor preloaded. Where podman cannot mount the image (without
 * root), they are taken to do so.
 * @param podmanArgs the user's own; with `--rootfs`, the image is a directory
 * @throws `ContainerError` ERR_CONTAINER when there is no such image
 */
export async function imagePreloadable(
  image: string,
  podmanArgs: readonly string[],
  options: PodmanOptions = {},
): Promise<Preloadable> {
  if (isDirectory(podmanArgs)) return preloadable(resolve(image));
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
