// SPDX-License-Identifier: MIT
/**
 * What the images of a checkpoint need of the plugin that restores them. CRIU's inventory names everything: the plugin
 * itself, and the manifest of every file that holds memory outside CRIU's own images.
 * @module
 */
import { isPluginVariant, pluginVariants, usesInterceptor } from '../variant.ts';
import type { Inventory } from './pstree.ts';

/** What a plugin has to be able to do for a restore. */
export interface ImageNeeds {
  /** Where the images are, for messages. */
  images: string;
  /** A manifest of device memory outside CRIU's images, if there is one. */
  gpuImage: string | undefined;
  /** A manifest of host memory outside CRIU's images, if there is one. */
  pageFile: string | undefined;
  /** The index, if it has open device files that are to be opened again. */
  deviceFiles: string | undefined;
}

/** @param names of the inventory's plugins, or of the files in an archive */
export function imageNeeds(images: string, names: readonly string[]): ImageNeeds {
  const named = (pattern: RegExp): string | undefined => names.find((name) => pattern.test(name));
  return {
    images,
    gpuImage: named(/^cuda-\d+\.img$/),
    pageFile: named(/^cuda-host-\d+\.img$/),
    deviceFiles: named(/^cuda\.img$/),
  };
}

/** The needs of the images with this inventory. */
export const inventoryNeeds = (images: string, inventory: Inventory | undefined): ImageNeeds =>
  imageNeeds(images, inventory?.plugins ?? []);

/** The variants that can restore the images, largest first, as words; undefined if every CUDA plugin can. */
export function variantsFor(needs: ImageNeeds): string | undefined {
  if (needs.gpuImage !== undefined) return 'full or parallel';
  if (needs.pageFile !== undefined) return 'full, parallel or remap';
  return needs.deviceFiles === undefined ? undefined : pluginVariants.toReversed().join(', ');
}

/**
 * Why a plugin cannot restore the images, as the rest of a sentence.
 * @param variant one of this project's; undefined for another project's plugin
 * @returns `undefined` when it can
 */
export function restoreRefusal(variant: string | undefined, needs: ImageNeeds): string | undefined {
  const { images, gpuImage, pageFile, deviceFiles } = needs;
  // a variant of a later version, which has at least what this one has
  if (variant !== undefined && !isPluginVariant(variant)) return undefined;
  if (gpuImage !== undefined && !usesInterceptor(variant ?? ''))
    return `cannot restore ${images}, whose ${gpuImage} holds device memory`;
  if (pageFile !== undefined && (variant === undefined || variant === 'stock'))
    return `cannot restore ${images}, whose ${pageFile} holds host memory`;
  if (deviceFiles !== undefined && variant === undefined)
    return `cannot restore ${images}, whose ${deviceFiles} lists open device files`;
  return undefined;
}
